/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Members of a JSON object that is being built, one line each.
 * Pure; must not know what the object is. */
#pragma once

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/* @value: (nullable): JSON's null if %NULL. JSON must be UTF-8; libvirt promises that for names,
 * the rest of the world for nothing, so what is not is replaced. */
void pcd_json_add_string (JsonBuilder *builder, const char *name, const char *value);
void pcd_json_add_int (JsonBuilder *builder, const char *name, gint64 value);
void pcd_json_add_boolean (JsonBuilder *builder, const char *name, gboolean value);

G_END_DECLS
