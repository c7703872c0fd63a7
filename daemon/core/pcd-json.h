/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Members of a JSON object, one line each: of one that is being built, and of one that others
 * wrote. Pure; must not know what the object is. */
#pragma once

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/* @value: (nullable): JSON's null if %NULL. JSON must be UTF-8; libvirt promises that for names,
 * the rest of the world for nothing, so what is not is replaced. */
void pcd_json_add_string (JsonBuilder *builder, const char *name, const char *value);
void pcd_json_add_int (JsonBuilder *builder, const char *name, gint64 value);
void pcd_json_add_boolean (JsonBuilder *builder, const char *name, gboolean value);

/* @object: (nullable). What is not there, or is something else, is as if it were null: a number
 * where a word should be is no reason to abort. %NULL or 0 then. (transfer none) */
JsonObject *pcd_json_get_object (JsonObject *object, const char *name);
JsonArray *pcd_json_get_array (JsonObject *object, const char *name);
const char *pcd_json_get_string (JsonObject *object, const char *name);
gint64 pcd_json_get_int (JsonObject *object, const char *name);
gboolean pcd_json_get_boolean (JsonObject *object, const char *name);

G_END_DECLS
