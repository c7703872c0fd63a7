/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What libvirt's files and its daemon's process tell: hook, keepalive, since when it runs.
 * Asks libvirt nothing; knows no judgement. */
#include "doctor/pcd-facts.h"

#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* libvirt's, as every distribution builds it; not of our own prefix. */
#define LIBVIRT_CONF "/etc/libvirt/"
#define HOOK         LIBVIRT_CONF "hooks/qemu"
#define OUR_HOOK     HOOK ".d/postcopyd"

char *
pcd_facts_conf_get (const char *text, const char *key)
{
  g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
  char *found = NULL;

  for (guint i = 0; lines[i]; i++) {
    char *equals = strchr (lines[i], '=');

    if (!equals)
      continue;
    *equals = '\0';
    if (!g_str_equal (g_strstrip (lines[i]), key))
      continue;
    char *value = g_strchug (equals + 1);
    char quote = value[0] == '"' || value[0] == '\'' ? value[0] : '\0';
    gsize length = quote ? strcspn (value + 1, (char[]){ quote, '\0' }) : strcspn (value, "# \t\r");
    g_free (found);
    found = g_strndup (quote ? value + 1 : value, length);
  }
  return found;
}

static int
get_number (const char *text, const char *key, int otherwise)
{
  g_autofree char *value = pcd_facts_conf_get (text, key);
  gint64 number = 0;

  if (!value || !g_ascii_string_to_signed (value, 10, -1, G_MAXINT, &number, NULL))
    return otherwise;
  return (int)number;
}

/* A file that is missing says nothing: libvirt's defaults hold. */
static char *
read_conf (const char *name)
{
  g_autofree char *path = g_strconcat (LIBVIRT_CONF, name, NULL);
  char *text = NULL;

  return g_file_get_contents (path, &text, NULL, NULL) ? text : g_strdup ("");
}

static PcdKeepalive
read_keepalive (const char *text)
{
  return (PcdKeepalive){ .interval = get_number (text, "keepalive_interval", 5),
                         .count = get_number (text, "keepalive_count", 5) };
}

/* As libvirt's virGetUserID (): a name, or "+NUMBER". */
static char *
get_label (const char *text)
{
  g_autofree char *user = pcd_facts_conf_get (text, "user");
  g_autofree char *group = pcd_facts_conf_get (text, "group");
  const struct passwd *passwd = user ? getpwnam (user) : NULL;
  const struct group *entry = group ? getgrnam (group) : NULL;

  if (!passwd || (group && !entry))
    return NULL;
  return g_strdup_printf ("+%u:+%u", passwd->pw_uid, entry ? entry->gr_gid : passwd->pw_gid);
}

static void
look_at_conf (PcdFacts *facts)
{
  gboolean modular = g_strcmp0 (facts->libvirtd, "virtqemud") == 0;
  /* Other hosts come in by virtproxyd where the daemons are modular. */
  const char *server = modular ? "virtproxyd.conf" : "libvirtd.conf";
  g_autofree char *qemu = read_conf ("qemu.conf"), *libvirtd = read_conf (server);
  g_autofree char *migration_host = pcd_facts_conf_get (qemu, "migration_host");

  facts->keepalive = read_keepalive (qemu);
  facts->server_keepalive = read_keepalive (libvirtd);
  facts->server_conf = g_strconcat (LIBVIRT_CONF, server, NULL);
  facts->qemu_label = get_label (qemu);
  facts->migration_host_set = migration_host && migration_host[0];
}

/* ---- the daemon ---- */

static char *
read_comm (int pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/comm", pid);
  char *text = NULL;

  return g_file_get_contents (path, &text, NULL, NULL) ? g_strchomp (text) : NULL;
}

static gint64
clock_usec (clockid_t id)
{
  struct timespec now = { 0 };

  clock_gettime (id, &now);
  return (gint64)now.tv_sec * G_USEC_PER_SEC + now.tv_nsec / 1000;
}

/* Of the wall clock, as files' times are; field 22 of proc(5)'s stat counts from boot. */
static gint64
started_at (int pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/stat", pid);
  g_autofree char *text = NULL;

  if (!g_file_get_contents (path, &text, NULL, NULL) || !strrchr (text, ')'))
    return 0;
  g_auto (GStrv) fields = g_strsplit (strrchr (text, ')') + 2, " ", -1);
  if (g_strv_length (fields) < 20)
    return 0;
  gint64 since_boot =
      g_ascii_strtoll (fields[19], NULL, 10) * (G_USEC_PER_SEC / sysconf (_SC_CLK_TCK));
  return clock_usec (CLOCK_REALTIME) - clock_usec (CLOCK_BOOTTIME) + since_boot;
}

/* By its pid file: names in /proc may be those of other containers. */
static void
look_at_process (PcdFacts *facts)
{
  static const char *const names[] = { "virtqemud", "libvirtd" };

  for (guint i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autofree char *path = g_strdup_printf ("/run/%s.pid", names[i]);
    g_autofree char *text = NULL;
    int pid;

    if (!g_file_get_contents (path, &text, NULL, NULL))
      continue;
    pid = (int)g_ascii_strtoll (text, NULL, 10);
    g_autofree char *comm = pid > 0 ? read_comm (pid) : NULL;
    if (g_strcmp0 (comm, names[i]) != 0)
      continue;
    facts->libvirtd = g_steal_pointer (&comm);
    facts->libvirtd_pid = pid;
    facts->libvirtd_started = started_at (pid);
    return;
  }
}

/* ---- the hook ---- */

static gint64
changed_at (const struct stat *st)
{
  return (gint64)st->st_ctim.tv_sec * G_USEC_PER_SEC + st->st_ctim.tv_nsec / 1000;
}

/* Since when libvirt could run that file, at the latest; 0 if it cannot. */
static gint64
runnable_since (const char *path)
{
  struct stat link, target;

  if (lstat (path, &link) < 0 || stat (path, &target) < 0 || !S_ISREG (target.st_mode) ||
      !(target.st_mode & 0111))
    return 0;
  return MAX (changed_at (&link), changed_at (&target));
}

/* libvirt's virHookCheck (): one that can be run is enough, ours or another. */
static gint64
hooks_since (void)
{
  g_autoptr (GDir) dir = g_dir_open (HOOK ".d", 0, NULL);
  gint64 first = runnable_since (HOOK);
  const char *name;

  while (dir && (name = g_dir_read_name (dir))) {
    g_autofree char *path = g_build_filename (HOOK ".d", name, NULL);
    gint64 since = runnable_since (path);

    if (since && (!first || since < first))
      first = since;
  }
  return first;
}

/* Our hook is a script that does nothing when its program is gone (postcopyd.in). */
static gboolean
has_its_program (const char *path)
{
  g_autofree char *text = NULL;
  const char *exec = NULL;

  if (g_file_get_contents (path, &text, NULL, NULL) && g_str_has_prefix (text, "#!"))
    exec = strstr (text, "\nexec /");
  if (!exec)
    return TRUE;
  exec += strlen ("\nexec ");
  g_autofree char *program = g_strndup (exec, strcspn (exec, " \t\n"));
  return access (program, X_OK) == 0;
}

static PcdHookState
look_at_hook (void)
{
  struct stat link, target;

  if (lstat (OUR_HOOK, &link) < 0)
    return PCD_HOOK_MISSING;
  if (stat (OUR_HOOK, &target) < 0)
    return PCD_HOOK_DANGLING;
  if (!S_ISREG (target.st_mode) || !(target.st_mode & 0111))
    return PCD_HOOK_NOT_EXECUTABLE;
  if (target.st_uid != 0 || (target.st_mode & 0022) || link.st_uid != 0)
    return PCD_HOOK_UNSAFE;
  return has_its_program (OUR_HOOK) ? PCD_HOOK_OK : PCD_HOOK_DANGLING;
}

void
pcd_facts_look_at_libvirt (PcdFacts *facts)
{
  look_at_process (facts);
  look_at_conf (facts);
  facts->hook_path = g_strdup (OUR_HOOK);
  facts->hook = look_at_hook ();
  facts->hooks_since = hooks_since ();
}
