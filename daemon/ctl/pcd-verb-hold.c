/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* postcopyctl hold, release: no automatic action, and automatic action again.
 * Asks the daemon; knows nothing of what it does or leaves. */
#include "ctl/pcd-show.h"
#include "ctl/pcd-verbs.h"

/* The daemon may ask polkit, and polkit a person. */
#define ANSWER_MSEC (150 * 1000)

static int
run (const PcdCtl *ctl, const PcdVerb *verb, const char *method, int argc, char **argv)
{
  int exit_code = pcd_verb_parse (verb, NULL, &argc, &argv);

  if (exit_code >= 0)
    return exit_code;
  if (argc != 2) {
    g_printerr ("%s: expected one DOMAIN; see '%s --help'\n", g_get_prgname (), g_get_prgname ());
    return PCD_EXIT_USAGE;
  }
  g_autoptr (PcdClient) client = pcd_client_open (ctl, &exit_code);
  g_autoptr (PcdClientState) state = client ? pcd_client_get_state (client) : NULL;
  if (!state)
    return client ? PCD_EXIT_NO_DAEMON : exit_code;
  const PcdClientMigration *migration = pcd_show_find (state, argv[1], ~0u);
  if (!migration) {
    g_printerr ("%s: no migration of a domain '%s' is known here\n", g_get_prgname (), argv[1]);
    return PCD_EXIT_NOT_FOUND;
  }
  return pcd_client_call (client, migration->path, "org.postcopyd.Migration1", method, NULL, "()",
                          ANSWER_MSEC, NULL);
}

static int
run_hold (const PcdCtl *ctl, int argc, char **argv)
{
  return run (ctl, &pcd_verb_hold, "Hold", argc, argv);
}

static int
run_release (const PcdCtl *ctl, int argc, char **argv)
{
  return run (ctl, &pcd_verb_release, "Release", argc, argv);
}

const PcdVerb pcd_verb_hold = {
  .name = "hold",
  .synopsis = "DOMAIN",
  .summary = "No automatic action on a domain from now on",
  .run = run_hold,
};

const PcdVerb pcd_verb_release = {
  .name = "release",
  .synopsis = "DOMAIN",
  .summary = "Automatic action again, after hold",
  .run = run_release,
};
