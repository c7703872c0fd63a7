/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ladders to JSON and back: one table of members for both directions. */
#include "journal/pcd-ladder-json.h"

#include "core/pcd-node.h"

#include <math.h>
#include <string.h>

#define VERSION 2

/* JSON numbers are doubles: integers beyond are not exact. CLOCK_MONOTONIC gets there in 285 years.
 */
#define MAX_INTEGER ((gint64)1 << 53)

/* A new member of the ladder must be kept too: add it to the tables below, raise VERSION. */
#if GLIB_SIZEOF_VOID_P == 8
G_STATIC_ASSERT (sizeof (PcdLadderRecord) == 80);
G_STATIC_ASSERT (sizeof (PcdLadderClock) == 40);
G_STATIC_ASSERT (sizeof (PcdLadder) == 16 + PCD_N_WHENS * sizeof (PcdLadderClock) +
                                           PCD_LADDER_MAX_RECORDS * sizeof (PcdLadderRecord) + 40);
#endif

typedef enum { BOOLEAN, UINT, INT64, UINT64, WORD } MemberType;

typedef const char *(*WordFunc) (guint value);

typedef struct {
  const char *name;
  MemberType type;
  gsize offset;
  WordFunc word;
  guint n_words;
} Member;

/* Enumerations are unsigned ints to the compiler; these only make the types agree. */
static const char *
role_word (guint value)
{
  return pcd_role_to_string (value);
}

static const char *
when_word (guint value)
{
  return pcd_when_to_string (value);
}

static const char *
action_word (guint value)
{
  return pcd_action_to_string (value);
}

static const char *
status_word (guint value)
{
  return pcd_step_status_to_string (value);
}

static const char *
fact_word (guint value)
{
  static const char *const words[] = { "unknown", "no", "yes" };

  return value < G_N_ELEMENTS (words) ? words[value] : "?";
}

#define MEMBER(type, struct, name, member)                                                         \
  {                                                                                                \
    name, type, G_STRUCT_OFFSET (struct, member), NULL, 0                                          \
  }
#define WORDS(struct, name, member, func, n)                                                       \
  {                                                                                                \
    name, WORD, G_STRUCT_OFFSET (struct, member), func, n                                          \
  }

static const Member clock_members[] = {
  MEMBER (BOOLEAN, PcdLadderClock, "in", in),    MEMBER (INT64, PcdLadderClock, "since", since),
  MEMBER (INT64, PcdLadderClock, "left", left),  MEMBER (INT64, PcdLadderClock, "banked", banked),
  MEMBER (UINT, PcdLadderClock, "spell", spell), { NULL },
};

static const Member record_members[] = {
  WORDS (PcdLadderRecord, "when", when, when_word, PCD_N_WHENS),
  WORDS (PcdLadderRecord, "action", action, action_word, PCD_ACTION_MAX),
  MEMBER (UINT, PcdLadderRecord, "ordinal", ordinal),
  WORDS (PcdLadderRecord, "status", status, status_word, PCD_STEP_GAVE_UP + 1),
  WORDS (PcdLadderRecord, "chosen", chosen, action_word, PCD_ACTION_MAX),
  MEMBER (BOOLEAN, PcdLadderRecord, "fell-back", fell_back),
  MEMBER (BOOLEAN, PcdLadderRecord, "cancelled", cancelled),
  MEMBER (BOOLEAN, PcdLadderRecord, "told", told),
  MEMBER (UINT, PcdLadderRecord, "spell", spell),
  MEMBER (UINT, PcdLadderRecord, "attempts", attempts),
  MEMBER (UINT, PcdLadderRecord, "level", level),
  MEMBER (UINT64, PcdLadderRecord, "ticket", ticket),
  MEMBER (INT64, PcdLadderRecord, "started", started),
  MEMBER (INT64, PcdLadderRecord, "not-before", not_before),
  MEMBER (INT64, PcdLadderRecord, "vetoed-until", vetoed_until),
  { NULL },
};

static const Member ladder_members[] = {
  WORDS (PcdLadder, "role", role, role_word, PCD_ROLE_DESTINATION + 1),
  MEMBER (UINT64, PcdLadder, "last-ticket", last_ticket),
  MEMBER (INT64, PcdLadder, "settle-until", settle_until),
  MEMBER (UINT, PcdLadder, "operator-running", operator_running),
  MEMBER (BOOLEAN, PcdLadder, "operator-pause", operator_pause),
  MEMBER (BOOLEAN, PcdLadder, "our-pause", our_pause),
  MEMBER (BOOLEAN, PcdLadder, "waived", waived),
  MEMBER (BOOLEAN, PcdLadder, "held", held),
  WORDS (PcdLadder, "peer-answers", peer_answers, fact_word, PCD_FACT_YES + 1),
  { NULL },
};

/* ---- writing ---- */

static void
append_member (GString *text, const Member *member, gconstpointer base)
{
  const char *at = (const char *)base + member->offset;

  g_string_append_printf (text, "\"%s\":", member->name);
  switch (member->type) {
  case BOOLEAN:
    g_string_append (text, *(const gboolean *)at ? "true" : "false");
    break;
  case UINT:
    g_string_append_printf (text, "%u", *(const guint *)at);
    break;
  case INT64:
    g_string_append_printf (text, "%" G_GINT64_FORMAT, *(const gint64 *)at);
    break;
  case UINT64:
    g_string_append_printf (text, "%" G_GUINT64_FORMAT, *(const guint64 *)at);
    break;
  case WORD:
    g_string_append_printf (text, "\"%s\"", member->word (*(const guint *)at));
    break;
  }
}

static void
append_members (GString *text, const Member *members, gconstpointer base)
{
  for (guint i = 0; members[i].name; i++) {
    if (i > 0)
      g_string_append_c (text, ',');
    append_member (text, &members[i], base);
  }
}

char *
pcd_ladder_to_json (const PcdLadder *ladder)
{
  GString *text = g_string_new (NULL);

  g_string_append_printf (text, "{\"version\":%d,", VERSION);
  append_members (text, ladder_members, ladder);
  g_string_append (text, ",\"clocks\":{");
  for (guint when = 0; when < PCD_N_WHENS; when++) {
    g_string_append_printf (text, "%s\"%s\":{", when ? "," : "", pcd_when_to_string (when));
    append_members (text, clock_members, &ladder->clocks[when]);
    g_string_append_c (text, '}');
  }
  g_string_append (text, "},\"records\":[");
  for (guint i = 0; i < ladder->n_records; i++) {
    g_string_append (text, i ? ",{" : "{");
    append_members (text, record_members, &ladder->records[i]);
    g_string_append_c (text, '}');
  }
  g_string_append (text, "]}");
  return g_string_free (text, FALSE);
}

/* ---- reading ---- */

static gboolean
read_integer (
    const PcdNode *node, double minimum, double maximum, const char *origin, GError **error)
{
  if (node->kind != PCD_NODE_NUMBER)
    return pcd_node_refuse (node, origin, error, "got %s, expected a number",
                            pcd_node_kind_to_string (node->kind));
  if (node->number != floor (node->number) || node->number < minimum || node->number > maximum)
    return pcd_node_refuse (node, origin, error, "got %.17g, expected an integer from %.0f to %.0f",
                            node->number, minimum, maximum);
  return TRUE;
}

/* An earlier daemon had a module that this one has not, or has not any more: its steps are
 * remembered all the same. */
static void
know_action (const Member *member, const char *name)
{
  const PcdActionSpec spec = { .name = name };
  PcdActionKind action;

  if (member->word == action_word && pcd_action_name_is_loaded (name) &&
      !pcd_action_from_string (name, &action))
    pcd_action_declare (&spec, &action);
}

static gboolean
read_word (const PcdNode *node, const Member *member, guint *at, const char *origin, GError **error)
{
  guint value = 0;

  if (node->kind != PCD_NODE_STRING)
    return pcd_node_refuse (node, origin, error, "got %s, expected a word",
                            pcd_node_kind_to_string (node->kind));
  know_action (member, node->string);
  while (value < member->n_words && !g_str_equal (member->word (value), node->string))
    value++;
  if (value == member->n_words) {
    g_autofree char *quoted = pcd_node_quote (node->string);
    return pcd_node_refuse (node, origin, error, "got %s, expected a word such as \"%s\"", quoted,
                            member->word (0));
  }
  *at = value;
  return TRUE;
}

static gboolean
read_member (
    const PcdNode *node, const Member *member, gpointer base, const char *origin, GError **error)
{
  char *at = (char *)base + member->offset;
  double minimum = member->type == INT64 ? -(double)MAX_INTEGER : 0;
  double maximum = member->type == UINT ? (double)G_MAXUINT : (double)MAX_INTEGER;

  if (member->type == WORD)
    return read_word (node, member, (guint *)at, origin, error);
  if (member->type == BOOLEAN) {
    if (node->kind != PCD_NODE_BOOLEAN)
      return pcd_node_refuse (node, origin, error, "got %s, expected true or false",
                              pcd_node_kind_to_string (node->kind));
    *(gboolean *)at = node->boolean;
    return TRUE;
  }
  if (!read_integer (node, minimum, maximum, origin, error))
    return FALSE;
  if (member->type == UINT)
    *(guint *)at = (guint)node->number;
  else
    *(gint64 *)at = (gint64)node->number;
  return TRUE;
}

static const PcdNode *
require (const PcdNode *node, const char *name, const char *origin, GError **error)
{
  const PcdNode *member = node->kind == PCD_NODE_OBJECT ? pcd_node_get (node, name) : NULL;

  if (node->kind != PCD_NODE_OBJECT)
    pcd_node_refuse (node, origin, error, "got %s, expected an object",
                     pcd_node_kind_to_string (node->kind));
  else if (!member)
    pcd_node_refuse (node, origin, error, "has no \"%s\"", name);
  return member;
}

/* All of @members, and @n_others beside them, which the caller reads: duplicates were refused
 * before, so that counting finds every stranger. */
static gboolean
read_members (const PcdNode *node,
              const Member *members,
              guint n_others,
              gpointer base,
              const char *origin,
              GError **error)
{
  guint n = 0;

  for (; members[n].name; n++) {
    const PcdNode *member = require (node, members[n].name, origin, error);
    if (!member || !read_member (member, &members[n], base, origin, error))
      return FALSE;
  }
  if (node->children->len != n + n_others)
    return pcd_node_refuse (node, origin, error, "has %u members, expected %u", node->children->len,
                            n + n_others);
  return TRUE;
}

static gboolean
read_clocks (const PcdNode *node, PcdLadder *ladder, const char *origin, GError **error)
{
  for (guint when = 0; when < PCD_N_WHENS; when++) {
    const PcdNode *clock = require (node, pcd_when_to_string (when), origin, error);
    if (!clock || !read_members (clock, clock_members, 0, &ladder->clocks[when], origin, error))
      return FALSE;
  }
  if (node->children->len != PCD_N_WHENS)
    return pcd_node_refuse (node, origin, error, "has %u members, expected %d", node->children->len,
                            PCD_N_WHENS);
  return TRUE;
}

static gboolean
read_records (const PcdNode *node, PcdLadder *ladder, const char *origin, GError **error)
{
  if (node->kind != PCD_NODE_ARRAY || node->children->len > PCD_LADDER_MAX_RECORDS)
    return pcd_node_refuse (node, origin, error, "expected an array of no more than %d",
                            PCD_LADDER_MAX_RECORDS);
  for (guint i = 0; i < node->children->len; i++)
    if (!read_members (g_ptr_array_index (node->children, i), record_members, 0,
                       &ladder->records[i], origin, error))
      return FALSE;
  ladder->n_records = node->children->len;
  return TRUE;
}

gboolean
pcd_ladder_from_json (const char *text, const char *origin, PcdLadder *ret_ladder, GError **error)
{
  g_autoptr (PcdNode) root = pcd_node_parse (text, strlen (text), origin, error);
  const PcdNode *version = root ? require (root, "version", origin, error) : NULL;
  const PcdNode *clocks, *records;
  PcdLadder ladder = { 0 };

  if (!version || !read_integer (version, VERSION, VERSION, origin, error))
    return FALSE;
  clocks = require (root, "clocks", origin, error);
  records = clocks ? require (root, "records", origin, error) : NULL;
  if (!records || !read_members (root, ladder_members, 3, &ladder, origin, error) ||
      !read_clocks (clocks, &ladder, origin, error) ||
      !read_records (records, &ladder, origin, error))
    return FALSE;
  *ret_ladder = ladder;
  return TRUE;
}
