/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What postcopyctl and its verbs agree on: exit codes, global options, the table of verbs. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Stable and documented: scripts rely on them. */
enum {
  PCD_EXIT_DONE = 0,
  PCD_EXIT_FAILED = 1,    /* refused or failed, reason on stderr */
  PCD_EXIT_USAGE = 2,     /* bad argument, URI, file or configuration */
  PCD_EXIT_NO_DAEMON = 3, /* postcopyd does not answer on the bus */
  PCD_EXIT_NOT_FOUND = 4, /* no such domain, process or migration */
};

/**
 * PcdCtl:
 * @connect: (nullable): libvirt URI from --connect, else libvirt's own default
 * @bus: (nullable): bus from --bus: `system`, `session` or a D-Bus address; %NULL is `system`
 * @host: (nullable): `[USER@]HOST` from --host, whose bus is meant
 * @quiet: no progress on the terminal
 *
 * The options that stand before the verb.
 */
typedef struct {
  char *connect;
  char *bus;
  char *host;
  gboolean quiet;
} PcdCtl;

/**
 * PcdSubverb:
 * @name: the word behind the verb
 * @synopsis: its arguments
 * @summary: one line
 * @options: long names of the verb's options that matter to it, separated by spaces
 * @example: (nullable): what could be typed behind `postcopyctl`
 */
typedef struct {
  const char *name;
  const char *synopsis;
  const char *summary;
  const char *options;
  const char *example;
} PcdSubverb;

/**
 * PcdVerb:
 * @name: the word a user types
 * @synopsis: its arguments, for the usage line
 * @summary: one line, for --help
 * @example: (nullable): what could be typed behind `postcopyctl`
 * @subverbs: (nullable): up to one without a name
 * @usage: of a verb with subverbs, instead of @synopsis, for the usage line of its own --help
 * @options: (nullable): as in #PcdSubverb, for the verb's own --help; %NULL for all
 * @run: gets @argv with the verb itself at index 0; prints results on stdout, reasons on stderr;
 *   returns one of the exit codes above
 * @is_local: it looks at its own host, and cannot be meant for another (--host)
 */
typedef struct {
  const char *name;
  const char *synopsis;
  const char *summary;
  const char *example;
  const PcdSubverb *subverbs;
  const char *usage;
  const char *options;
  int (*run) (const PcdCtl *ctl, int argc, char **argv);
  gboolean is_local;
} PcdVerb;

/**
 * pcd_verb_parse:
 * @verb: the verb, for its usage line
 * @entries: (nullable): its own options
 *
 * Parses a verb's options with GOption; prints `--help` or a usage error itself.
 *
 * Returns: -1 when the verb shall go on, else the exit code to return at once
 */
int pcd_verb_parse (const PcdVerb *verb, const GOptionEntry *entries, int *argc, char ***argv);

/* The same of a verb that stands alone: with an argument, it is a usage error. */
int
pcd_verb_parse_alone (const PcdVerb *verb, const GOptionEntry *entries, int *argc, char ***argv);

/**
 * pcd_verb_hint:
 * @word: (nullable): what stands where one of @verb's subverbs is expected
 *
 * Returns: (transfer full): which one may be meant, as of pcd_nearest_hint (), or ""
 */
char *pcd_verb_hint (const PcdVerb *verb, const char *word);

/**
 * pcd_verb_refuse_host:
 * @words: what was wanted, such as `snapshot verify`
 *
 * Says that it has to be run on the host of --host.
 *
 * Returns: the exit code
 */
int pcd_verb_refuse_host (const PcdCtl *ctl, const char *words);

G_END_DECLS
