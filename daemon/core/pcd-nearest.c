/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The distance between two words, and the nearest of some. Knows no language: bytes are letters. */
#include "core/pcd-nearest.h"

#include <glib/gi18n.h>
#include <string.h>

/* A name may be long; what is longer was not mistyped but pasted. */
#define MOST 64

/* Of Damerau and Levenshtein, without moving a letter twice. */
static guint
distance (const char *a, const char *b)
{
  const guint n = (guint)strlen (a), m = (guint)strlen (b);
  guint8 rows[MOST + 1][MOST + 1];

  for (guint i = 0; i <= n; i++)
    rows[i][0] = (guint8)i;
  for (guint j = 0; j <= m; j++)
    rows[0][j] = (guint8)j;
  for (guint i = 1; i <= n; i++)
    for (guint j = 1; j <= m; j++) {
      guint best = rows[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
      best = MIN (best, (guint)rows[i - 1][j] + 1);
      best = MIN (best, (guint)rows[i][j - 1] + 1);
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        best = MIN (best, (guint)rows[i - 2][j - 2] + 1);
      rows[i][j] = (guint8)best;
    }
  return rows[n][m];
}

const char *
pcd_nearest (const char *word, const char *const *known)
{
  const gsize length = strlen (word);
  guint least = G_MAXUINT;
  const char *nearest = NULL;

  if (length == 0 || length > MOST)
    return NULL;
  for (guint i = 0; known[i]; i++) {
    const gsize other = strlen (known[i]);
    if (other > MOST)
      continue;
    const guint mistakes = distance (word, known[i]);
    if (mistakes < least && mistakes <= MAX (length, other) / 3) {
      least = mistakes;
      nearest = known[i];
    }
  }
  return nearest;
}

char *
pcd_nearest_hint (const char *word, const char *const *known)
{
  const char *nearest = pcd_nearest (word, known);

  return nearest ? g_strdup_printf (_ (" (did you mean '%s'?)"), nearest) : g_strdup ("");
}
