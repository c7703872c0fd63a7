/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* JSON as a tree in which every value knows its line, column and path; strict, and duplicate keys
 * are errors. json-glib forgets positions and duplicates. Knows nothing of policies. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef enum {
  PCD_NODE_NULL,
  PCD_NODE_BOOLEAN,
  PCD_NODE_NUMBER,
  PCD_NODE_STRING,
  PCD_NODE_ARRAY,
  PCD_NODE_OBJECT,
  PCD_N_NODES,
} PcdNodeKind;

typedef struct _PcdNode PcdNode;

/**
 * PcdNode: one value. Read only.
 * @kind: which of the members below holds
 * @line: where the value begins, from 1
 * @column: likewise, in characters
 * @parent: (nullable): borrowed
 * @name: (nullable): the member's name if @parent is an object
 * @index: place in @parent
 * @boolean: of %PCD_NODE_BOOLEAN
 * @number: of %PCD_NODE_NUMBER
 * @string: of %PCD_NODE_STRING, UTF-8 without NUL
 * @children: (element-type PcdNode): of arrays and objects, in the file's order, else %NULL
 */
struct _PcdNode {
  PcdNodeKind kind;
  guint line;
  guint column;
  const PcdNode *parent;
  char *name;
  guint index;
  gboolean boolean;
  double number;
  char *string;
  GPtrArray *children;
};

#define PCD_NODE_ERROR (pcd_node_error_quark ())
GQuark pcd_node_error_quark (void);

typedef enum {
  PCD_NODE_ERROR_SYNTAX, /* not JSON, or a duplicate key */
  PCD_NODE_ERROR_VALUE,  /* JSON, but not what was expected: set by those who read the tree */
} PcdNodeError;

/**
 * pcd_node_parse:
 * @text: need not end with NUL
 * @length: in bytes
 * @file: for messages
 *
 * RFC 8259, and nothing beyond it. Objects and arrays may be nested 16 deep.
 *
 * Returns: (transfer full): the root, or %NULL with @error "FILE:LINE:COL: PATH: what"
 */
PcdNode *pcd_node_parse (const char *text, gsize length, const char *file, GError **error);
void pcd_node_free (PcdNode *node);

/**
 * pcd_node_get:
 *
 * Returns: (nullable) (transfer none): the member @name of an object
 */
const PcdNode *pcd_node_get (const PcdNode *node, const char *name);

/**
 * pcd_node_path:
 *
 * Returns: (transfer full): such as `$.steps[2].after`
 */
char *pcd_node_path (const PcdNode *node);

/* "a string", "an object": static. */
const char *pcd_node_kind_to_string (PcdNodeKind kind);

/**
 * pcd_node_refuse:
 * @node: the offending value
 * @file: for the message
 *
 * Sets %PCD_NODE_ERROR_VALUE: "FILE:LINE:COL: PATH: …".
 *
 * Returns: %FALSE always, so that a caller may return it
 */
gboolean
pcd_node_refuse (const PcdNode *node, const char *file, GError **error, const char *format, ...)
    G_GNUC_PRINTF (4, 5);

/**
 * pcd_node_expect:
 * @file: for the message, here and below
 *
 * Returns: whether @node is of @kind; if not, @error as by pcd_node_refuse (), here and below
 */
gboolean pcd_node_expect (const PcdNode *node, PcdNodeKind kind, const char *file, GError **error);

/**
 * pcd_node_expect_members:
 * @known: ends with %NULL
 *
 * Returns: whether @node is an object that has no other members than @known
 */
gboolean pcd_node_expect_members (const PcdNode *node,
                                  const char *const *known,
                                  const char *file,
                                  GError **error);

/**
 * pcd_node_require:
 *
 * Returns: (nullable) (transfer none): the member @name of the object @node, which must be there
 *   and be of @kind
 */
const PcdNode *pcd_node_require (
    const PcdNode *node, const char *name, PcdNodeKind kind, const char *file, GError **error);

/**
 * pcd_node_quote:
 *
 * Returns: (transfer full): @text as it may be shown in one line, in quotes, cut after 40 bytes
 */
char *pcd_node_quote (const char *text);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdNode, pcd_node_free)

G_END_DECLS
