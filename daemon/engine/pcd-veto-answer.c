/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Parses; what is not clear is no answer. */
#include "engine/pcd-veto-answer.h"

#include "core/pcd-duration.h"
#include "core/pcd-node.h"
#include "core/pcd-record.h"

#include <gio/gio.h>
#include <json-glib/json-glib.h>
#include <string.h>
#include <sys/wait.h>

#define REASON_MAX 200

static const char *const verdict_words[] = {
  [PCD_VETO_ALLOW] = "allow",
  [PCD_VETO_DENY] = "deny",
  [PCD_VETO_DELAY] = "delay",
};

void
pcd_veto_answer_clear (PcdVetoAnswer *answer)
{
  g_clear_pointer (&answer->reason, g_free);
}

static gboolean no_answer (GError **error, const char *format, ...) G_GNUC_PRINTF (2, 3);

static gboolean
no_answer (GError **error, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  g_autofree char *text = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, text);
  return FALSE;
}

static char *
take_reason (const char *text)
{
  g_autofree char *printable = pcd_text_printable (text);

  g_strstrip (printable);
  if (!*printable)
    return NULL;
  return g_utf8_strlen (printable, -1) > REASON_MAX ? g_utf8_substring (printable, 0, REASON_MAX)
                                                    : g_steal_pointer (&printable);
}

static gboolean
find_verdict (const char *word, PcdVetoVerdict *ret_verdict)
{
  for (guint i = 0; word && i < G_N_ELEMENTS (verdict_words); i++)
    if (g_str_equal (word, verdict_words[i])) {
      *ret_verdict = i;
      return TRUE;
    }
  return FALSE;
}

static gboolean
take_seconds (double seconds, gint64 *ret_usec)
{
  /* Written so that a NaN fails, too. */
  if (!(seconds > 0 && seconds <= PCD_VETO_DELAY_MAX_USEC / (double)G_USEC_PER_SEC))
    return FALSE;
  *ret_usec = MAX ((gint64)(seconds * G_USEC_PER_SEC), 1);
  return TRUE;
}

/* "30", "1.5", "30s", "5min" */
static gboolean
parse_delay (const char *word, gint64 *ret_usec)
{
  char *end = NULL;
  gint64 usec = 0;
  const double seconds = g_ascii_strtod (word, &end);

  if (end != word && *end == '\0')
    return take_seconds (seconds, ret_usec);
  return pcd_duration_parse (word, &usec, NULL) &&
         take_seconds ((double)usec / G_USEC_PER_SEC, ret_usec);
}

static gboolean
parse_words (const char *line, PcdVetoAnswer *answer)
{
  g_auto (GStrv) words = g_strsplit (line, " ", 2);

  if (!words[0] || !find_verdict (words[0], &answer->verdict))
    return FALSE;
  if (answer->verdict != PCD_VETO_DELAY) {
    answer->reason = take_reason (words[1] ?: "");
    return TRUE;
  }
  g_auto (GStrv) rest = g_strsplit (words[1] ? g_strchug (words[1]) : "", " ", 2);
  if (!rest[0] || !parse_delay (rest[0], &answer->delay_usec))
    return FALSE;
  answer->reason = take_reason (rest[1] ?: "");
  return TRUE;
}

static const char *
get_word (JsonObject *object, const char *name)
{
  JsonNode *node = json_object_get_member (object, name);

  return node && json_node_get_value_type (node) == G_TYPE_STRING ? json_node_get_string (node)
                                                                  : NULL;
}

static gboolean
parse_json (const char *line, PcdVetoAnswer *answer)
{
  g_autoptr (JsonNode) root = json_from_string (line, NULL);

  if (!root || !JSON_NODE_HOLDS_OBJECT (root))
    return FALSE;
  JsonObject *object = json_node_get_object (root);
  JsonNode *seconds = json_object_get_member (object, "seconds");
  if (!find_verdict (get_word (object, "verdict"), &answer->verdict))
    return FALSE;
  if (answer->verdict == PCD_VETO_DELAY &&
      !(seconds && JSON_NODE_HOLDS_VALUE (seconds) &&
        take_seconds (json_node_get_double (seconds), &answer->delay_usec)))
    return FALSE;
  answer->reason = take_reason (get_word (object, "reason") ?: "");
  return TRUE;
}

static char *
first_line (const char *output)
{
  g_autofree char *valid = g_utf8_make_valid (output, -1);

  valid[strcspn (valid, "\n")] = '\0';
  return g_strdup (g_strstrip (valid));
}

/* The status that refuses, with a line that is its reason or says the same at more length. */
static gboolean
judge_refusal (PcdVetoVerdict verdict, gboolean parsed, const char *line, PcdVetoAnswer *answer)
{
  if (parsed)
    return answer->verdict != PCD_VETO_ALLOW;
  answer->verdict = verdict;
  answer->delay_usec = 0;
  answer->reason = take_reason (line);
  return TRUE;
}

gboolean
pcd_veto_answer_parse (int status, const char *output, PcdVetoAnswer *ret_answer, GError **error)
{
  g_auto (PcdVetoAnswer) answer = { 0 };
  g_autofree char *line = first_line (output);
  g_autofree char *quoted = pcd_node_quote (line);
  const gboolean parsed = *line == '{' ? parse_json (line, &answer) : parse_words (line, &answer);

  if (WIFSIGNALED (status))
    return no_answer (error, "was killed by signal %d", WTERMSIG (status));
  switch (WEXITSTATUS (status)) {
  case 0:
    if (!parsed && *line)
      return no_answer (error, "wrote %s, expected allow, deny [REASON] or delay SECONDS [REASON]",
                        quoted);
    break;
  case PCD_VETO_EXIT_DENY:
  case PCD_VETO_EXIT_DELAY:
    if (!judge_refusal (WEXITSTATUS (status) == PCD_VETO_EXIT_DENY ? PCD_VETO_DENY : PCD_VETO_DELAY,
                        parsed, line, &answer))
      return no_answer (error, "wrote %s and ended with status %d, which says the opposite", quoted,
                        WEXITSTATUS (status));
    break;
  default:
    return no_answer (error, "ended with status %d", WEXITSTATUS (status));
  }
  *ret_answer = answer;
  answer.reason = NULL;
  return TRUE;
}
