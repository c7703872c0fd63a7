/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* postcopyctl list: one line per migration of this host.
 * Old rows are never shown without saying so first. */
#include "ctl/pcd-show.h"
#include "ctl/pcd-verbs.h"

#include <glib/gi18n.h>

static int
run (const PcdCtl *ctl, int argc, char **argv)
{
  gboolean json = FALSE;
  int exit_code = PCD_EXIT_DONE;
  const GOptionEntry entries[] = {
    { "json", 0, 0, G_OPTION_ARG_NONE, &json, N_ ("Print JSON"), NULL },
    { NULL },
  };

  int parsed = pcd_verb_parse_alone (&pcd_verb_list, entries, &argc, &argv);
  if (parsed >= 0)
    return parsed;
  g_autoptr (PcdClient) client = pcd_client_open (ctl, &exit_code);
  if (!client)
    return exit_code;
  g_autoptr (PcdClientState) state = pcd_client_get_state (client);
  if (!state)
    return PCD_EXIT_NO_DAEMON;
  g_autofree char *warning = pcd_show_disconnected (state);
  if (warning)
    g_printerr ("%s", warning);
  g_autofree char *text = json ? pcd_show_json (state, NULL, TRUE) : pcd_show_table (state);
  g_print ("%s", text);
  return PCD_EXIT_DONE;
}

const PcdVerb pcd_verb_list = {
  .name = "list",
  .synopsis = "[--json]",
  .summary = N_ ("Migrations on this host"),
  .run = run,
};
