/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A strict JSON reader that keeps positions, so that every error can name its place.
 * Pure: text in, tree out. */
#include "core/pcd-node.h"

#include <glib/gi18n.h>
#include <math.h>
#include <string.h>

/* A policy needs four; the bound keeps hostile files from our stack. */
#define MAX_DEPTH 16

typedef struct {
  const char *p;
  const char *end;
  const char *file;
  guint line;
  const char *line_start;
  guint depth;
} Reader;

G_DEFINE_QUARK (pcd - node - error - quark, pcd_node_error)

static gboolean read_value (Reader *reader, PcdNode *node, GError **error);

void
pcd_node_free (PcdNode *node)
{
  if (!node)
    return;
  g_clear_pointer (&node->children, g_ptr_array_unref);
  g_free (node->name);
  g_free (node->string);
  g_free (node);
}

const char *
pcd_node_kind_to_string (PcdNodeKind kind)
{
  static const char *const words[PCD_N_NODES] = {
    [PCD_NODE_NULL] = "null",
    [PCD_NODE_BOOLEAN] = N_ ("true or false"),
    [PCD_NODE_NUMBER] = N_ ("a number"),
    [PCD_NODE_STRING] = N_ ("a string"),
    [PCD_NODE_ARRAY] = N_ ("an array"),
    [PCD_NODE_OBJECT] = N_ ("an object"),
  };

  return kind < PCD_N_NODES ? _ (words[kind]) : "?";
}

char *
pcd_node_quote (const char *text)
{
  gsize length = strlen (text);
  g_autofree char *part = g_strndup (text, MIN (length, 40));
  g_autofree char *safe = g_strescape (part, NULL);

  return g_strdup_printf ("\"%s%s\"", safe, length > 40 ? "..." : "");
}

static gboolean
is_plain_name (const char *name)
{
  for (const char *p = name; *p; p++)
    if (!g_ascii_isalnum (*p) && *p != '-' && *p != '_' && *p != '$')
      return FALSE;
  return *name != '\0';
}

static void
append_path (GString *path, const PcdNode *node)
{
  if (!node->parent) {
    g_string_append_c (path, '$');
    return;
  }
  append_path (path, node->parent);
  if (!node->name) {
    g_string_append_printf (path, "[%u]", node->index);
  } else if (is_plain_name (node->name)) {
    g_string_append_printf (path, ".%s", node->name);
  } else {
    g_autofree char *quoted = pcd_node_quote (node->name);
    g_string_append_printf (path, "[%s]", quoted);
  }
}

char *
pcd_node_path (const PcdNode *node)
{
  g_autoptr (GString) path = g_string_new (NULL);

  append_path (path, node);
  return g_string_free (g_steal_pointer (&path), FALSE);
}

gboolean
pcd_node_refuse (const PcdNode *node, const char *file, GError **error, const char *format, ...)
{
  g_autofree char *path = pcd_node_path (node);
  va_list args;

  va_start (args, format);
  g_autofree char *text = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, PCD_NODE_ERROR, PCD_NODE_ERROR_VALUE, "%s:%u:%u: %s: %s", file, node->line,
               node->column, path, text);
  return FALSE;
}

const PcdNode *
pcd_node_get (const PcdNode *node, const char *name)
{
  for (guint i = 0; node->kind == PCD_NODE_OBJECT && i < node->children->len; i++) {
    const PcdNode *child = g_ptr_array_index (node->children, i);
    if (g_str_equal (child->name, name))
      return child;
  }
  return NULL;
}

/* Columns count characters: what editors show. */
static guint
column_of (const Reader *reader)
{
  return (guint)g_utf8_strlen (reader->line_start, reader->p - reader->line_start) + 1;
}

/* Sets a syntax error at the place where the reader is, below @node's path. */
static gboolean
fail (const Reader *reader, const PcdNode *node, GError **error, const char *expected)
{
  g_autofree char *path = pcd_node_path (node);
  g_autofree char *got = NULL;

  if (reader->p >= reader->end) {
    got = g_strdup (_ ("the end of the file"));
  } else {
    const char *next = g_utf8_find_next_char (reader->p, reader->end) ?: reader->end;
    g_autofree char *character = g_strndup (reader->p, next - reader->p);
    got = pcd_node_quote (character);
  }
  g_set_error (error, PCD_NODE_ERROR, PCD_NODE_ERROR_SYNTAX,
               _ ("%s:%u:%u: %s: got %s, expected %s"), reader->file, reader->line,
               column_of (reader), path, got, expected);
  return FALSE;
}

static int
peek (const Reader *reader)
{
  return reader->p < reader->end ? *reader->p : -1;
}

static gboolean
take (Reader *reader, char c)
{
  if (peek (reader) != c)
    return FALSE;
  reader->p++;
  return TRUE;
}

static void
skip_space (Reader *reader)
{
  for (; reader->p < reader->end && strchr (" \t\r\n", *reader->p) && *reader->p; reader->p++)
    if (*reader->p == '\n') {
      reader->line++;
      reader->line_start = reader->p + 1;
    }
}

static gboolean
read_hex4 (Reader *reader, gunichar *ret_value)
{
  gunichar value = 0;

  for (guint i = 0; i < 4; i++, reader->p++) {
    int digit = peek (reader) < 0 ? -1 : g_ascii_xdigit_value (*reader->p);
    if (digit < 0)
      return FALSE;
    value = value * 16 + (gunichar)digit;
  }
  *ret_value = value;
  return TRUE;
}

/* After "\u". NUL and lone surrogates are no text. */
static gboolean
read_unicode (Reader *reader, GString *text)
{
  gunichar c = 0, low = 0;

  if (!read_hex4 (reader, &c) || c == 0 || (c >= 0xdc00 && c <= 0xdfff))
    return FALSE;
  if (c >= 0xd800 && c <= 0xdbff) {
    if (!take (reader, '\\') || !take (reader, 'u') || !read_hex4 (reader, &low) || low < 0xdc00 ||
        low > 0xdfff)
      return FALSE;
    c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
  }
  g_string_append_unichar (text, c);
  return TRUE;
}

static gboolean
read_escape (Reader *reader, GString *text)
{
  static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
  int c = peek (reader);
  const char *found = c > 0 ? strchr (from, c) : NULL;

  if (!found && c != 'u')
    return FALSE;
  reader->p++;
  if (!found)
    return read_unicode (reader, text);
  g_string_append_c (text, to[found - from]);
  return TRUE;
}

/* Returns %NULL with @error set, or the text. */
static char *
read_string (Reader *reader, const PcdNode *node, GError **error)
{
  g_autoptr (GString) text = g_string_new (NULL);

  if (!take (reader, '"')) {
    fail (reader, node, error, _ ("a string in double quotes"));
    return NULL;
  }
  while (!take (reader, '"')) {
    int c = peek (reader);
    if (c == -1 || (guchar)c < 0x20) {
      fail (reader, node, error, _ ("the string's closing quote"));
      return NULL;
    }
    if (!take (reader, '\\')) {
      g_string_append_c (text, *reader->p++);
    } else if (!read_escape (reader, text)) {
      fail (reader, node, error, _ ("an escape sequence of JSON"));
      return NULL;
    }
  }
  return g_string_free (g_steal_pointer (&text), FALSE);
}

static gsize
skip_digits (Reader *reader)
{
  const char *start = reader->p;

  while (reader->p < reader->end && g_ascii_isdigit (*reader->p))
    reader->p++;
  return reader->p - start;
}

static gboolean
read_number (Reader *reader, PcdNode *node, GError **error)
{
  const char *start = reader->p;

  take (reader, '-');
  if (!take (reader, '0') && skip_digits (reader) == 0)
    return fail (reader, node, error, _ ("a digit"));
  if (take (reader, '.') && skip_digits (reader) == 0)
    return fail (reader, node, error, _ ("a digit"));
  if (take (reader, 'e') || take (reader, 'E')) {
    if (!take (reader, '+'))
      take (reader, '-');
    if (skip_digits (reader) == 0)
      return fail (reader, node, error, _ ("a digit"));
  }
  g_autofree char *copy = g_strndup (start, reader->p - start);
  node->kind = PCD_NODE_NUMBER;
  node->number = g_ascii_strtod (copy, NULL);
  if (!isfinite (node->number))
    return fail (reader, node, error, _ ("a smaller number"));
  return TRUE;
}

static PcdNode *
add_child (PcdNode *parent, char *name)
{
  PcdNode *child = g_new0 (PcdNode, 1);

  child->parent = parent;
  child->name = name;
  child->index = parent->children->len;
  g_ptr_array_add (parent->children, child);
  return child;
}

static gboolean
read_member (Reader *reader, PcdNode *node, GError **error)
{
  guint line = reader->line, column = column_of (reader);
  g_autofree char *name = read_string (reader, node, error);

  if (!name)
    return FALSE;
  const PcdNode *first = pcd_node_get (node, name);
  if (first) {
    g_autofree char *path = pcd_node_path (first);
    g_set_error (error, PCD_NODE_ERROR, PCD_NODE_ERROR_SYNTAX,
                 _ ("%s:%u:%u: %s: again, first seen in line %u, expected each key once"),
                 reader->file, line, column, path, first->line);
    return FALSE;
  }
  skip_space (reader);
  if (!take (reader, ':'))
    return fail (reader, node, error, "\":\"");
  return read_value (reader, add_child (node, g_steal_pointer (&name)), error);
}

static gboolean
read_container (Reader *reader, PcdNode *node, char close, GError **error)
{
  node->children = g_ptr_array_new_with_free_func ((GDestroyNotify)pcd_node_free);
  if (++reader->depth > MAX_DEPTH)
    return fail (reader, node, error, _ ("less nesting"));
  skip_space (reader);
  for (gboolean more = !take (reader, close); more; more = !take (reader, close)) {
    if (node->children->len > 0 && !take (reader, ','))
      return fail (reader, node, error, close == '}' ? _ ("\",\" or \"}\"") : _ ("\",\" or \"]\""));
    skip_space (reader);
    gboolean ok = close == '}' ? read_member (reader, node, error)
                               : read_value (reader, add_child (node, NULL), error);
    if (!ok)
      return FALSE;
    skip_space (reader);
  }
  reader->depth--;
  return TRUE;
}

static gboolean
read_word (Reader *reader, const char *word)
{
  gsize length = strlen (word);

  if ((gsize)(reader->end - reader->p) < length || memcmp (reader->p, word, length) != 0)
    return FALSE;
  reader->p += length;
  return TRUE;
}

static gboolean
read_value (Reader *reader, PcdNode *node, GError **error)
{
  skip_space (reader);
  node->line = reader->line;
  node->column = column_of (reader);
  if (peek (reader) == '"') {
    node->kind = PCD_NODE_STRING;
    node->string = read_string (reader, node, error);
    return node->string != NULL;
  }
  if (take (reader, '{')) {
    node->kind = PCD_NODE_OBJECT;
    return read_container (reader, node, '}', error);
  }
  if (take (reader, '[')) {
    node->kind = PCD_NODE_ARRAY;
    return read_container (reader, node, ']', error);
  }
  if (peek (reader) == '-' || g_ascii_isdigit (peek (reader)))
    return read_number (reader, node, error);
  node->kind = PCD_NODE_BOOLEAN;
  if ((node->boolean = read_word (reader, "true")) || read_word (reader, "false"))
    return TRUE;
  node->kind = PCD_NODE_NULL;
  return read_word (reader, "null") || fail (reader, node, error, _ ("a value of JSON"));
}

PcdNode *
pcd_node_parse (const char *text, gsize length, const char *file, GError **error)
{
  g_autoptr (PcdNode) root = g_new0 (PcdNode, 1);
  Reader reader = { text, text + length, file, 1, text, 0 };
  const char *bad = NULL;

  root->line = root->column = 1;
  if (!g_utf8_validate_len (text, length, &bad)) {
    for (; reader.p < bad; reader.p++)
      if (*reader.p == '\n') {
        reader.line++;
        reader.line_start = reader.p + 1;
      }
    g_set_error (error, PCD_NODE_ERROR, PCD_NODE_ERROR_SYNTAX, _ ("%s:%u:%u: not UTF-8 text"), file,
                 reader.line, column_of (&reader));
    return NULL;
  }
  if (!read_value (&reader, root, error))
    return NULL;
  skip_space (&reader);
  if (reader.p < reader.end) {
    fail (&reader, root, error, _ ("the end of the file"));
    return NULL;
  }
  return g_steal_pointer (&root);
}

/* ---- for those who read the tree ---- */

gboolean
pcd_node_expect (const PcdNode *node, PcdNodeKind kind, const char *file, GError **error)
{
  return node->kind == kind ||
         pcd_node_refuse (node, file, error, _ ("got %s, expected %s"),
                          pcd_node_kind_to_string (node->kind), pcd_node_kind_to_string (kind));
}

gboolean
pcd_node_expect_members (const PcdNode *node,
                         const char *const *known,
                         const char *file,
                         GError **error)
{
  if (!pcd_node_expect (node, PCD_NODE_OBJECT, file, error))
    return FALSE;
  for (guint i = 0; i < node->children->len; i++) {
    const PcdNode *child = g_ptr_array_index (node->children, i);
    if (g_strv_contains (known, child->name))
      continue;
    g_autofree char *list = g_strjoinv (", ", (char **)known);
    return pcd_node_refuse (child, file, error, _ ("unknown key, expected one of: %s"), list);
  }
  return TRUE;
}

const PcdNode *
pcd_node_require (
    const PcdNode *node, const char *name, PcdNodeKind kind, const char *file, GError **error)
{
  const PcdNode *child = pcd_node_get (node, name);

  if (!child) {
    pcd_node_refuse (node, file, error, _ ("\"%s\" is missing, expected %s"), name,
                     pcd_node_kind_to_string (kind));
    return NULL;
  }
  return pcd_node_expect (child, kind, file, error) ? child : NULL;
}
