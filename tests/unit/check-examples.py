#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""docs/examples: each file is named in its README, the shell parses the scripts, Ansible takes its
tasks, and postcopyd the configuration that these write. What the scripts do is shown in the
lab, and by tests/bus/test_check.py."""
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

DAEMON, ROOT = map(os.path.abspath, sys.argv[1:3])
EXAMPLES = os.path.join(ROOT, "docs", "examples")
ANSIBLE = shutil.which("ansible-playbook")


def read(name):
    with open(os.path.join(EXAMPLES, name), encoding="utf-8") as file:
        return file.read()


def run(argv, **options):
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, check=False,
                          **options)


class Examples(unittest.TestCase):
    def test_named(self):
        for name in set(os.listdir(EXAMPLES)) - {"README.md"}:
            self.assertIn(f"]({name})", read("README.md"))

    def test_scripts(self):
        scripts = [name for name in os.listdir(EXAMPLES) if read(name).startswith("#!")]
        self.assertGreaterEqual(len(scripts), 3)
        for name in scripts:
            with self.subTest(name):
                path = os.path.join(EXAMPLES, name)
                self.assertTrue(os.access(path, os.X_OK))
                done = run([read(name).splitlines()[0][2:], "-n", path])
                self.assertEqual((done.returncode, done.stderr), (0, ""))

    def with_playbook(self, tasks):
        """What Ansible says of a play with these tasks."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "play.yml")
            with open(os.path.join(folder, "tasks.yml"), "w", encoding="utf-8") as file:
                file.write(tasks)
            with open(path, "w", encoding="utf-8") as file:
                file.write("- hosts: all\n  gather_facts: false\n  tasks:\n"
                           "    - ansible.builtin.import_tasks: tasks.yml\n")
            return run([ANSIBLE, "--syntax-check", "-i", "localhost,", path], cwd=folder, env={
                **os.environ, "HOME": folder, "ANSIBLE_LOCAL_TEMP": folder, "LC_ALL": "C.UTF-8"})

    @unittest.skipUnless(ANSIBLE, "no ansible-playbook")
    def test_ansible(self):
        tasks = read("ansible-tasks.yml")
        done = self.with_playbook(tasks)
        self.assertEqual(done.returncode, 0, done.stderr)
        # It does look: at what tasks it does not know, too.
        broken = self.with_playbook(tasks.replace("ansible.builtin.assert", "ansible.builtin.asert"))
        self.assertNotEqual(broken.returncode, 0)
        self.assertIn("asert", broken.stderr)

    @unittest.skipUnless(ANSIBLE, "no ansible-playbook, and so perhaps no yaml and jinja2")
    def test_configuration(self):
        import jinja2
        import yaml
        task, = [task for task in yaml.safe_load(read("ansible-tasks.yml")) if "ansible.builtin.copy" in task]
        template = jinja2.Template(task["ansible.builtin.copy"]["content"])
        for variables, good in (({}, True), ({"postcopyd_policy": "observe"}, True),
                                ({"postcopyd_policy": "no such"}, False)):
            with tempfile.NamedTemporaryFile("w", suffix=".conf") as file, self.subTest(variables):
                file.write(template.render(variables) + "\n")
                file.flush()
                done = run([DAEMON, "--check-config", "--config", file.name, "--policy-dir",
                            os.path.join(ROOT, "policies")])
                self.assertEqual(done.returncode == 0, good, done.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
