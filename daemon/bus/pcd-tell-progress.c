/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One call, one question to the engine, one answer. */
#include "bus/pcd-tell-progress.h"

typedef struct {
  PcdEngine *engine;
  char *uuid;
  PcdRole role;
} Target;

static void
target_free (gpointer data, GClosure *closure)
{
  Target *target = data;

  g_free (target->uuid);
  g_free (target);
}

static GVariant *
to_variant (const PcdProgress *progress, const char *problem)
{
  g_autofree char *reason = g_utf8_make_valid (problem ?: "", -1);
  GVariantDict dict;

  g_variant_dict_init (&dict, NULL);
  if (!progress->known) {
    g_variant_dict_insert (&dict, "reason", "s", reason);
    return g_variant_dict_end (&dict);
  }
  g_variant_dict_insert (&dict, "remaining", "t", progress->remaining);
  g_variant_dict_insert (&dict, "pages", "t", pcd_progress_pages (progress));
  g_variant_dict_insert (&dict, "page-size", "u", progress->page_size);
  g_variant_dict_insert (&dict, "total", "t", progress->total);
  g_variant_dict_insert (&dict, "time", "t", (guint64)progress->time);
  if (progress->rate >= 0)
    g_variant_dict_insert (&dict, "rate", "t", (guint64)progress->rate);
  if (progress->left_usec >= 0)
    g_variant_dict_insert (&dict, "left", "t", (guint64)progress->left_usec);
  return g_variant_dict_end (&dict);
}

static void
on_progress (const PcdProgress *progress, const char *problem, gpointer data)
{
  g_dbus_method_invocation_return_value (
      data, g_variant_new ("(@a{sv})", to_variant (progress, problem)));
}

static gboolean
on_get_progress (PcdDbusMigration1 *skeleton, GDBusMethodInvocation *invocation, gpointer data)
{
  const Target *target = data;

  pcd_engine_ask_progress (target->engine, target->uuid, target->role, on_progress, invocation);
  return TRUE;
}

void
pcd_tell_progress_of (PcdDbusMigration1 *skeleton,
                      PcdEngine *engine,
                      const char *uuid,
                      PcdRole role)
{
  Target *target = g_new0 (Target, 1);

  target->engine = engine;
  target->uuid = g_strdup (uuid);
  target->role = role;
  g_signal_connect_data (skeleton, "handle-get-progress", G_CALLBACK (on_get_progress), target,
                         target_free, 0);
}
