/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Members of a JSON object as people read them.
 * Must not know what the object is. */
#pragma once

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

/* (transfer full): printable; "-" if there is none. */
char *pcd_json_text (JsonObject *object, const char *name);

/* (transfer full): local time of a text of RFC 3339; "-" if there is none. */
char *pcd_json_time_text (JsonObject *object, const char *name);

G_END_DECLS
