/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* postcopyd: arguments and wiring, nothing else. */
#include "bus/pcd-bus.h"
#include "engine/pcd-farewell.h"
#include "engine/pcd-log.h"
#include "engine/pcd-notify.h"
#include "engine/pcd-policy-load.h"
#include "host/pcd-stderr.h"
#include "libvirt/pcd-source.h"
#include "plugins/pcd-plugins.h"
#include "sinks/pcd-sinks.h"

#include <glib-unix.h>
#include <locale.h>
#include <string.h>

/* As those of postcopyctl, see postcopyd(8). */
enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* libvirt's own deadlines are shorter; this is for the day when they do not hold. */
#define READY_AT_LAST_SEC 15

#define DEFAULT_CONFIG    PCD_SYSCONFDIR "/postcopyd/postcopyd.conf"
#define DEFAULT_STATE_DIR "/var/lib/postcopyd"

typedef struct {
  char *connect;
  char *config;
  char *bus;
  char *state_dir;
  char *policy_dir;
  gboolean dry_run;
  gboolean check_config;
  gboolean version;
} Options;

typedef struct {
  const Options *options;
  GMainLoop *loop;
  PcdEngine *engine;
  PcdNotify *notify;
  PcdSinks *sinks;
  gboolean bus_settled;
  gboolean libvirt_tried;
  gboolean ready;
  guint ready_at_last_id;
  int exit_code;
} Daemon;

static gboolean
parse_options (int *argc, char ***argv, Options *options, GError **error)
{
  const GOptionEntry entries[] = {
    { "connect", 'c', 0, G_OPTION_ARG_STRING, &options->connect,
      "libvirt connection URI (default: libvirt's own)", "URI" },
    { "config", 0, 0, G_OPTION_ARG_FILENAME, &options->config,
      "configuration, instead of postcopyd.conf of /etc", "FILE" },
    { "bus", 0, 0, G_OPTION_ARG_STRING, &options->bus,
      "system (default), session or a D-Bus address", "BUS" },
    { "policy-dir", 0, 0, G_OPTION_ARG_FILENAME, &options->policy_dir,
      "policies, instead of the shipped ones and those of /etc", "DIR" },
    { "state-dir", 0, 0, G_OPTION_ARG_FILENAME, &options->state_dir,
      "journal, not $STATE_DIRECTORY or " DEFAULT_STATE_DIR, "DIR" },
    { "dry-run", 0, 0, G_OPTION_ARG_NONE, &options->dry_run,
      "tell what policies would do, and do nothing", NULL },
    { "check-config", 0, 0, G_OPTION_ARG_NONE, &options->check_config,
      "check the configuration and the policies, and exit", NULL },
    { "version", 0, 0, G_OPTION_ARG_NONE, &options->version, "show the version and exit", NULL },
    { NULL },
  };
  g_autoptr (GOptionContext) context = g_option_context_new (NULL);

  g_option_context_set_summary (context, "Follows the post-copy migrations of this host.");
  g_option_context_set_description (context, "See postcopyd(8) and postcopyd.conf(5).");
  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, argc, argv, error))
    return FALSE;
  if (*argc > 1) {
    g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED, "unexpected argument '%s'",
                 (*argv)[1]);
    return FALSE;
  }
  return TRUE;
}

/* Whether libvirt could ever connect to it: a typing error shall not look like a libvirtd that is
 * down. Aliases of libvirt.conf are a comfort for people and not for services. */
static gboolean
check_uri (const char *uri, GError **error)
{
  if (!uri)
    return TRUE;
  g_autoptr (GUri) parsed = g_uri_parse (uri, G_URI_FLAGS_NON_DNS, NULL);
  const char *scheme = parsed ? g_uri_get_scheme (parsed) : "";
  gsize driver = strcspn (scheme, "+");
  if ((driver == 4 && strncmp (scheme, "qemu", 4) == 0) ||
      (driver == 4 && strncmp (scheme, "test", 4) == 0))
    return TRUE;
  g_set_error (error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
               "--connect: got \"%s\", expected a libvirt URI of QEMU, such as qemu:///system",
               uri);
  return FALSE;
}

/* The default file may be missing, one that was asked for may not. */
static gboolean
load_config (const Options *options, PcdConfig *ret_config, GError **error)
{
  g_autoptr (GError) local_error = NULL;

  if (pcd_config_load (options->config ?: DEFAULT_CONFIG, ret_config, &local_error))
    return TRUE;
  if (!options->config && g_error_matches (local_error, G_FILE_ERROR, G_FILE_ERROR_NOENT)) {
    *ret_config = pcd_config_default ();
    return TRUE;
  }
  g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}

static const char *
state_dir (const Options *options)
{
  return options->state_dir ?: g_getenv ("STATE_DIRECTORY") ?: DEFAULT_STATE_DIR;
}

/* None of their code runs. */
static gboolean
check_plugins (const Options *options, const PcdConfig *config)
{
  g_autoptr (GPtrArray) views = pcd_plugins_look (config, state_dir (options));
  gboolean good = TRUE;

  for (guint i = 0; i < views->len; i++) {
    const PcdPluginView *view = views->pdata[i];
    if (view->problem)
      g_printerr ("postcopyd: plugin %s: %s\n", view->name, view->problem);
    good = good && !view->problem;
  }
  return good;
}

/* A name that is wrong here would make domains fall back to another policy, on the day. */
static int
check_config (const Options *options, const PcdConfig *config)
{
  g_auto (GStrv) directories = pcd_policy_default_directories (options->policy_dir);
  g_autoptr (GError) error = NULL;
  const gboolean plugins_are_good = check_plugins (options, config);
  g_autoptr (PcdPolicySet) policies =
      pcd_policy_load_directories ((const char *const *)directories, &error);

  if (policies &&
      pcd_config_check_policies (config, policies, options->config ?: DEFAULT_CONFIG, &error) &&
      pcd_veto_config_check (config->veto, &error))
    return plugins_are_good ? EXIT_DONE : EXIT_USAGE;
  g_printerr ("postcopyd: %s\n", error->message);
  return EXIT_USAGE;
}

/* Both or neither: policies are read first, as the configuration cannot fail once it was read. */
static gboolean
reload (Daemon *self, GError **error)
{
  g_auto (PcdConfig) config = { 0 };

  if (!load_config (self->options, &config, error) || !pcd_sinks_check (&config, error) ||
      !pcd_engine_reload_policies (self->engine, &config, error))
    return FALSE;
  pcd_engine_set_config (self->engine, &config);
  pcd_sinks_set_config (self->sinks, &config);
  return TRUE;
}

static void
become_ready (Daemon *self)
{
  if (self->ready)
    return;
  self->ready = TRUE;
  g_clear_handle_id (&self->ready_at_last_id, g_source_remove);
  pcd_notify_ready (self->notify);
}

static void
become_ready_if_settled (Daemon *self)
{
  if (self->bus_settled && self->libvirt_tried)
    become_ready (self);
}

static gboolean
on_ready_at_last (gpointer data)
{
  Daemon *self = data;

  self->ready_at_last_id = 0;
  become_ready (self);
  return G_SOURCE_REMOVE;
}

static void
on_connection (gboolean connected, gpointer data)
{
  Daemon *self = data;

  self->libvirt_tried = TRUE;
  become_ready_if_settled (self);
}

static void
on_bus_settled (gpointer data)
{
  Daemon *self = data;

  self->bus_settled = TRUE;
  become_ready_if_settled (self);
}

static void
on_bus_refused (const GError *error, gpointer data)
{
  Daemon *self = data;

  g_printerr ("postcopyd: %s\n", error->message);
  self->exit_code = EXIT_FAILED;
  g_main_loop_quit (self->loop);
}

static gboolean
on_stop_signal (gpointer data)
{
  Daemon *self = data;

  pcd_notify_stopping (self->notify);
  g_main_loop_quit (self->loop);
  return G_SOURCE_CONTINUE;
}

static gboolean
reload_and_tell (Daemon *self, GError **error)
{
  g_autoptr (GError) local_error = NULL;

  if (self->ready)
    pcd_notify_reloading (self->notify);
  if (reload (self, &local_error)) {
    g_log_structured (G_LOG_DOMAIN, G_LOG_LEVEL_MESSAGE, "MESSAGE_ID", PCD_MESSAGE_RELOADED,
                      "MESSAGE", "configuration reloaded");
  } else {
    g_log_structured (G_LOG_DOMAIN, G_LOG_LEVEL_WARNING, "MESSAGE_ID", PCD_MESSAGE_RELOAD_REFUSED,
                      "MESSAGE", "configuration not reloaded, the old one stays: %s",
                      local_error->message);
  }
  if (self->ready)
    pcd_notify_ready (self->notify);
  if (!local_error)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&local_error));
  return FALSE;
}

static gboolean
on_reload_signal (gpointer data)
{
  reload_and_tell (data, NULL);
  return G_SOURCE_CONTINUE;
}

/* On D-Bus. */
static gboolean
on_reload_asked (gpointer data, GError **error)
{
  return reload_and_tell (data, error);
}

static GStrv
on_sinks_asked (gpointer data)
{
  Daemon *self = data;

  return pcd_sinks_to_json (self->sinks);
}

static const PcdListener daemon_listener = { .connection = on_connection };
static const PcdBusCallbacks bus_callbacks = { on_bus_settled, on_bus_refused, on_reload_asked,
                                               on_sinks_asked };

static int
run (const Options *options, const PcdConfig *config, const char *bus_address)
{
  g_autoptr (GMainLoop) loop = g_main_loop_new (NULL, FALSE);
  Daemon self = { .options = options, .loop = loop };

  pcd_source_init_event_loop ();
  pcd_log_init ();
  g_log_structured (G_LOG_DOMAIN, G_LOG_LEVEL_MESSAGE, "MESSAGE_ID", PCD_MESSAGE_STARTED, "MESSAGE",
                    "postcopyd " PCD_VERSION " started");
  /* The engine is freed first: the others follow it and must be there to its end. */
  g_autoptr (PcdSinks) sinks = NULL;
  g_autoptr (PcdNotify) notify = NULL;
  g_autoptr (PcdBus) bus = NULL;
  g_autoptr (PcdEngine) engine = pcd_engine_new (config, options->connect);
  g_autoptr (GError) error = NULL;

  self.engine = engine;
  if (!pcd_engine_enable_actions (engine, state_dir (options), options->policy_dir,
                                  options->dry_run, &error)) {
    g_printerr ("postcopyd: %s\n", error->message);
    return EXIT_USAGE;
  }
  self.sinks = sinks = pcd_sinks_new (engine);
  pcd_sinks_set_config (sinks, config);
  pcd_engine_add_listener (engine, &pcd_log_listener, NULL);
  pcd_engine_add_listener (engine, &daemon_listener, &self);
  self.notify = notify = pcd_notify_new (engine, options->connect);
  bus = pcd_bus_new (engine, bus_address, options->connect, &bus_callbacks, &self);
  self.ready_at_last_id = g_timeout_add_seconds (READY_AT_LAST_SEC, on_ready_at_last, &self);
  guint signals[] = {
    g_unix_signal_add (SIGTERM, on_stop_signal, &self),
    g_unix_signal_add (SIGINT, on_stop_signal, &self),
    g_unix_signal_add (SIGHUP, on_reload_signal, &self),
  };

  /* To the end of the process: with the loop over and the context nobody's, other threads'
   * g_main_context_invoke () would call back at once, in their own thread. */
  g_main_context_acquire (NULL);
  g_main_loop_run (loop);

  for (guint i = 0; i < G_N_ELEMENTS (signals); i++)
    g_source_remove (signals[i]);
  g_clear_handle_id (&self.ready_at_last_id, g_source_remove);
  pcd_farewell (engine);
  pcd_sinks_stop (sinks);
  g_log_structured (G_LOG_DOMAIN, G_LOG_LEVEL_MESSAGE, "MESSAGE_ID", PCD_MESSAGE_STOPPED, "MESSAGE",
                    "postcopyd stopped");
  return self.exit_code;
}

static void
options_clear (Options *options)
{
  g_free (options->connect);
  g_free (options->config);
  g_free (options->bus);
  g_free (options->state_dir);
  g_free (options->policy_dir);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Options, options_clear)

int
main (int argc, char **argv)
{
  g_auto (Options) options = { 0 };
  g_autoptr (GError) error = NULL;
  g_autofree char *bus_address = NULL;
  g_auto (PcdConfig) config = { 0 };

  /* Not LC_MESSAGES: what is logged and recorded is searched for and compared, by people of all
   * languages and by programs, and stays English. No catalog is ever loaded. */
  setlocale (LC_CTYPE, "");
  pcd_stderr_init ();
  g_set_prgname ("postcopyd");
  if (!parse_options (&argc, &argv, &options, &error)) {
    g_printerr ("postcopyd: %s; see 'postcopyd --help'\n", error->message);
    return EXIT_USAGE;
  }
  if (options.version) {
    g_print ("postcopyd %s\n", PCD_VERSION);
    return EXIT_DONE;
  }
  if (!check_uri (options.connect, &error) || !load_config (&options, &config, &error) ||
      !pcd_sinks_check (&config, &error)) {
    g_printerr ("postcopyd: %s\n", error->message);
    return EXIT_USAGE;
  }
  if (options.check_config)
    return check_config (&options, &config);
  bus_address = pcd_bus_resolve (options.bus, &error);
  if (!bus_address) {
    g_printerr ("postcopyd: --bus: %s\n", error->message);
    return EXIT_USAGE;
  }
  return run (&options, &config, bus_address);
}
