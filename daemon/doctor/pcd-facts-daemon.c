/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the bus and /proc tell of a running postcopyd, and what its configuration says.
 * Knows no judgement. */
#include "doctor/pcd-facts.h"

#include <gio/gio.h>
#include <glib/gi18n.h>
#include <string.h>

#include "bus/pcd-address.h"
#include "bus/pcd-connect.h"
#include "engine/pcd-policy-load.h"
#include "plugins/pcd-plugins.h"

/* As main.c has them. */
#define DEFAULT_CONFIG    PCD_SYSCONFDIR "/postcopyd/postcopyd.conf"
#define DEFAULT_STATE_DIR "/var/lib/postcopyd"

#define DEADLINE_MSEC 3000

/* ---- the bus ---- */

static GDBusConnection *
connect_to (const char *address, GError **error)
{
  g_autoptr (GError) problem = NULL;
  GDBusConnection *connection = pcd_bus_connect (address, DEADLINE_MSEC, &problem);

  if (g_error_matches (problem, G_IO_ERROR, G_IO_ERROR_CANCELLED))
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT, _ ("no answer within %d s"),
                 DEADLINE_MSEC / 1000);
  else if (problem)
    g_propagate_error (error, g_steal_pointer (&problem));
  return connection;
}

static GVariant *
call (GDBusConnection *bus,
      const char *name,
      const char *path,
      const char *interface,
      const char *method,
      const char *argument,
      const char *reply,
      GError **error)
{
  return g_dbus_connection_call_sync (bus, name, path, interface, method,
                                      g_variant_new ("(s)", argument), G_VARIANT_TYPE (reply),
                                      G_DBUS_CALL_FLAGS_NO_AUTO_START, DEADLINE_MSEC, NULL, error);
}

static gboolean
find_daemon (PcdFacts *facts, GDBusConnection *bus)
{
  g_autoptr (GVariant) reply =
      call (bus, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
            "GetConnectionUnixProcessID", PCD_BUS_NAME, "(u)", NULL);
  guint32 pid = 0;

  if (!reply)
    return FALSE;
  g_variant_get (reply, "(u)", &pid);
  facts->daemon_running = TRUE;
  facts->daemon_pid = (int)pid;
  return TRUE;
}

static void
read_properties (PcdFacts *facts, GDBusConnection *bus)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GVariant) reply =
      call (bus, PCD_BUS_NAME, PCD_BUS_PATH, "org.freedesktop.DBus.Properties", "GetAll",
            "org.postcopyd.Manager1", "(a{sv})", &error);

  if (!reply) {
    g_dbus_error_strip_remote_error (error);
    facts->daemon_error = g_strdup (error->message);
    return;
  }
  g_autoptr (GVariant) properties = g_variant_get_child_value (reply, 0);
  g_autofree char *uri = NULL;
  gboolean connected = FALSE;
  g_variant_lookup (properties, "Version", "s", &facts->daemon_version);
  g_variant_lookup (properties, "LibvirtUri", "s", &uri);
  g_variant_lookup (properties, "ConnectionReason", "s", &facts->daemon_reason);
  if (g_variant_lookup (properties, "Connected", "b", &connected))
    facts->daemon_connected = connected;
  if (!facts->uri && uri && uri[0])
    facts->uri = g_steal_pointer (&uri);
}

/* ---- its process ---- */

typedef struct {
  char *config;
  char *policy_dir;
  char *state_dir;
  gboolean dry_run;
} Arguments;

static void
arguments_clear (Arguments *arguments)
{
  g_free (arguments->config);
  g_free (arguments->policy_dir);
  g_free (arguments->state_dir);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Arguments, arguments_clear)

static gboolean
read_proc (int pid, const char *name, char **ret_text, gsize *ret_length)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/%s", pid, name);

  return g_file_get_contents (path, ret_text, ret_length, NULL);
}

/* Relative to the directory that the daemon was started in. */
static char *
absolute (int pid, const char *path)
{
  g_autofree char *link = g_strdup_printf ("/proc/%d/cwd", pid);
  g_autofree char *folder = g_file_read_link (link, NULL);

  return g_canonicalize_filename (path, folder ? folder : "/");
}

static void
take_option (int pid, const char *arg, const char *next, const char *name, char **ret_value)
{
  gsize length = strlen (name);
  const char *value = NULL;

  if (!g_str_has_prefix (arg, name))
    return;
  if (arg[length] == '=')
    value = arg + length + 1;
  else if (arg[length] == '\0')
    value = next;
  if (!value)
    return;
  g_free (*ret_value);
  *ret_value = absolute (pid, value);
}

static void
read_arguments (int pid, Arguments *arguments)
{
  g_autofree char *text = NULL;
  gsize length = 0;

  if (!read_proc (pid, "cmdline", &text, &length))
    return;
  for (const char *arg = text; arg < text + length; arg += strlen (arg) + 1) {
    const char *next = arg + strlen (arg) + 1;

    if (next >= text + length)
      next = NULL;
    take_option (pid, arg, next, "--config", &arguments->config);
    take_option (pid, arg, next, "--policy-dir", &arguments->policy_dir);
    take_option (pid, arg, next, "--state-dir", &arguments->state_dir);
    arguments->dry_run |= g_str_equal (arg, "--dry-run");
  }
}

/* systemd's StateDirectory=. */
static void
read_environment (int pid, Arguments *arguments)
{
  g_autofree char *text = NULL;
  gsize length = 0;

  if (arguments->state_dir || !read_proc (pid, "environ", &text, &length))
    return;
  for (const char *entry = text; entry < text + length; entry += strlen (entry) + 1)
    if (g_str_has_prefix (entry, "STATE_DIRECTORY="))
      arguments->state_dir = g_strdup (strchr (entry, '=') + 1);
}

static void
read_capabilities (PcdFacts *facts)
{
  g_autofree char *text = NULL;
  const char *line;

  if (!read_proc (facts->daemon_pid, "status", &text, NULL) || !(line = strstr (text, "\nCapEff:")))
    return;
  facts->daemon_caps = g_ascii_strtoull (line + strlen ("\nCapEff:"), NULL, 16);
  facts->daemon_caps_known = TRUE;
}

/* ---- its configuration ---- */

static void
load_config (PcdFacts *facts, gboolean was_asked_for)
{
  g_autoptr (GError) error = NULL;

  if (pcd_config_load (facts->config_path, &facts->config, &error))
    return;
  /* As the daemon has it: the default file may be missing, one that was asked for may not. */
  if (!was_asked_for && g_error_matches (error, G_FILE_ERROR, G_FILE_ERROR_NOENT))
    facts->config = pcd_config_default ();
  else
    facts->config_error = g_strdup (error->message);
}

static void
load_policies (PcdFacts *facts, const char *directory)
{
  g_auto (GStrv) directories = pcd_policy_default_directories (directory);
  g_autoptr (GError) error = NULL;

  facts->policies = pcd_policy_load_directories ((const char *const *)directories, &error);
  if (!facts->policies)
    facts->policies_error = g_strdup (error->message);
}

static void
ask_bus (PcdFacts *facts, const char *name)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *address = pcd_bus_resolve (name, &error);
  g_autoptr (GDBusConnection) bus = address ? connect_to (address, &error) : NULL;

  if (!bus)
    facts->bus_error = g_strdup (error->message);
  else if (find_daemon (facts, bus))
    read_properties (facts, bus);
}

void
pcd_facts_ask_daemon (PcdFacts *facts, const PcdFactsOptions *options)
{
  g_auto (Arguments) arguments = { 0 };

  facts->uri = g_strdup (options->uri);
  ask_bus (facts, options->bus);
  if (facts->daemon_running) {
    read_arguments (facts->daemon_pid, &arguments);
    read_environment (facts->daemon_pid, &arguments);
    read_capabilities (facts);
    facts->daemon_dry_run = arguments.dry_run;
  }
  if (!facts->uri)
    facts->uri = g_strdup ("qemu:///system");
  const char *config = options->config ? options->config : arguments.config;
  facts->config_path = g_strdup (config ? config : DEFAULT_CONFIG);
  load_config (facts, config != NULL);
  facts->state_dir = g_strdup (arguments.state_dir ? arguments.state_dir : DEFAULT_STATE_DIR);
  /* Before the policies, which may name their actions. */
  if (!facts->config_error)
    facts->plugins = pcd_plugins_look (&facts->config, facts->state_dir);
  load_policies (facts, options->policy_dir ? options->policy_dir : arguments.policy_dir);
}
