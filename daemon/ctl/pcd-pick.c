/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names and UUIDs by what the daemon told; an id by libvirt, as the daemon does not know it. */
#include "ctl/pcd-pick.h"

#include "core/pcd-nearest.h"
#include "ctl/pcd-show.h"
#include "libvirt/pcd-lookup.h"

#include <glib/gi18n.h>

#define LOOKUP_USEC (3 * (gint64)G_USEC_PER_SEC)

char *
pcd_pick_domain (const PcdCtl *ctl, const PcdClientState *state, const char *domain)
{
  const char *uri = ctl->connect ?: *state->libvirt_uri ? state->libvirt_uri : NULL;
  g_autofree char *name = NULL;
  char *uuid = NULL;

  /* The daemon's URI is that of its own host. */
  if (ctl->host && !ctl->connect)
    return g_strdup (domain);
  /* What libvirt does not know, the daemon may: a domain that left, whose name is a number. */
  if (g_ascii_string_to_unsigned (domain, 10, 0, G_MAXINT, NULL, NULL) &&
      pcd_lookup_domain (uri, domain, LOOKUP_USEC, &uuid, &name, NULL))
    return uuid;
  return g_strdup (domain);
}

static const char *
role_word (PcdRole role)
{
  return pcd_role_to_string (role);
}

gboolean
pcd_pick_check_role (const char *role)
{
  if (!role || g_str_equal (role, role_word (PCD_ROLE_SOURCE)) ||
      g_str_equal (role, role_word (PCD_ROLE_DESTINATION)))
    return TRUE;
  g_printerr (_ ("%s: --role: got \"%s\", expected source or destination\n"), g_get_prgname (),
              role);
  return FALSE;
}

static guint
rank (const PcdClientMigration *migration, guint roles)
{
  PcdRole role = g_str_equal (migration->role, role_word (PCD_ROLE_SOURCE)) ? PCD_ROLE_SOURCE
                                                                            : PCD_ROLE_DESTINATION;

  return (roles & 1u << role ? 2 : 0) + (pcd_show_has_ended (migration) ? 0 : 1);
}

const PcdClientMigration *
pcd_pick_find (const PcdCtl *ctl,
               const PcdClientState *state,
               const char *domain,
               const char *role,
               guint roles,
               int *ret_exit)
{
  g_autofree char *wanted = pcd_pick_domain (ctl, state, domain);
  const PcdClientMigration *best = NULL;
  gboolean ambiguous = FALSE;

  for (guint i = 0; i < state->migrations->len; i++) {
    const PcdClientMigration *migration = g_ptr_array_index (state->migrations, i);

    if (!pcd_show_matches (migration, wanted) || (role && !g_str_equal (migration->role, role)))
      continue;
    const guint mine = rank (migration, roles), others = best ? rank (best, roles) : 0;
    ambiguous = best && mine == others && !pcd_show_has_ended (migration);
    if (!best || mine > others)
      best = migration;
  }
  *ret_exit = ambiguous ? PCD_EXIT_USAGE : PCD_EXIT_NOT_FOUND;
  if (!ambiguous)
    return best;
  g_printerr (_ ("%s: '%s' has more than one migration here; say which by --role source, or --role "
                 "destination ('postcopyctl list' shows them)\n"),
              g_get_prgname (), domain);
  return NULL;
}

char *
pcd_pick_hint (const PcdClientState *state, const char *domain)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new ();

  for (guint i = 0; i < state->migrations->len; i++) {
    const PcdClientMigration *migration = g_ptr_array_index (state->migrations, i);

    /* Known, only not in the role that was asked for: nothing was mistyped. */
    if (g_str_equal (migration->name, domain))
      return g_strdup ("");
    g_ptr_array_add (names, migration->name);
  }
  g_ptr_array_add (names, NULL);
  return pcd_nearest_hint (domain, (const char *const *)names->pdata);
}

static void
tell_none (const PcdClientState *state, const char *domain, const char *role)
{
  g_autofree char *hint = pcd_pick_hint (state, domain);

  if (role)
    /* TRANSLATORS: source or destination, and nothing or "; do you mean ...?" */
    g_printerr (
        _ ("%s: no migration of a domain '%s' is known here as %s%s; 'postcopyctl list' shows "
           "all\n"),
        g_get_prgname (), domain, role, hint);
  else
    g_printerr (
        _ ("%s: no migration of a domain '%s' is known here%s; 'postcopyctl list' shows all\n"),
        g_get_prgname (), domain, hint);
}

const PcdClientMigration *
pcd_pick_migration (const PcdCtl *ctl,
                    const PcdClientState *state,
                    const char *domain,
                    const char *role,
                    guint roles,
                    int *ret_exit)
{
  const PcdClientMigration *migration = pcd_pick_find (ctl, state, domain, role, roles, ret_exit);

  if (!migration && *ret_exit == PCD_EXIT_NOT_FOUND)
    tell_none (state, domain, role);
  return migration;
}
