/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Opens once, and asks the open file: what is loaded later is what was checked. */
#include "plugins/pcd-plugin-file.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gi18n.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plugins/pcd-elf.h"

/* The end of 1.0's last member: no plugin of major version 1 is smaller. */
#define END_OF(type, member) (offsetof (type, member) + sizeof (((type *)0)->member))
#define PLUGIN_1_0           END_OF (PostcopydPlugin, version)
#define ACTION_1_0           END_OF (PostcopydAction, settings)
#define SINK_1_0             END_OF (PostcopydSink, settings)

/* No struct of ours will ever be so large: the number is not a size. */
#define IMPLAUSIBLE 4096

#define LONGEST_USEC (30 * (gint64)G_TIME_SPAN_MINUTE)

static gboolean refuse (GError **error, const char *format, ...) G_GNUC_PRINTF (2, 3);

/* Always %FALSE. */
static gboolean
refuse (GError **error, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  g_autofree char *text = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error_literal (error, G_IO_ERROR, G_IO_ERROR_INVALID_DATA, text);
  return FALSE;
}

char *
pcd_plugin_file_path (const char *name, const char *path)
{
  return path ? g_strdup (path) : g_strdup_printf (PCD_PLUGINDIR "/%s.so", name);
}

static gboolean
refuse_writable (const struct stat *st, const char *folder, GError **error)
{
  const gboolean everyone = st->st_mode & S_IWOTH;
  const guint mode = st->st_mode & 07777;

  if (folder[0])
    return refuse (error,
                   everyone ? _ ("%s is writable by everyone (mode %04o), expected by root only")
                            : _ ("%s is writable by its group (mode %04o), expected by root only"),
                   folder, mode);
  /* TRANSLATORS: this, and all that begin with "is", follow the path of a plugin */
  return refuse (error,
                 everyone ? _ ("is writable by everyone (mode %04o), expected by root only")
                          : _ ("is writable by its group (mode %04o), expected by root only"),
                 mode);
}

/* @what: of the file itself "", else the folder */
static gboolean
check_owner (const struct stat *st, const char *folder, GError **error)
{
  if (st->st_uid != 0 && st->st_uid != geteuid ())
    return folder[0]
               ? refuse (error, _ ("%s is owned by user %u, expected root"), folder, st->st_uid)
               : refuse (error, _ ("is owned by user %u, expected root"), st->st_uid);
  /* Nobody else can rename what root owns in a sticky folder. */
  if (folder[0] && st->st_mode & S_ISVTX)
    return TRUE;
  if (st->st_mode & (S_IWGRP | S_IWOTH))
    return refuse_writable (st, folder, error);
  return TRUE;
}

/* Who can write one of them can put another file there before the next start. */
static gboolean
check_folders (const char *path, GError **error)
{
  g_autofree char *parent = g_path_get_dirname (path);
  char *real = realpath (parent, NULL);
  g_autofree char *folder = g_strdup (real);
  struct stat st;

  free (real);
  if (!folder)
    return refuse (error, "%s: %s", parent, g_strerror (errno));
  while (TRUE) {
    if (stat (folder, &st) < 0)
      return refuse (error, "%s: %s", folder, g_strerror (errno));
    if (!check_owner (&st, folder, error))
      return FALSE;
    if (strcmp (folder, "/") == 0)
      return TRUE;
    char *up = g_path_get_dirname (folder);
    g_free (folder);
    folder = up;
  }
}

static gboolean
open_file (const char *path, PcdPluginFile *file, GError **error)
{
  if (!g_path_is_absolute (path))
    return refuse (error, _ ("is not an absolute path"));
  file->fd = open (path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
  if (file->fd < 0)
    return refuse (error, "%s",
                   errno == ELOOP ? _ ("is a symbolic link, expected the file itself")
                                  : g_strerror (errno));
  if (fstat (file->fd, &file->status) < 0)
    return refuse (error, "%s", g_strerror (errno));
  if (!S_ISREG (file->status.st_mode))
    return refuse (error, _ ("is not a regular file"));
  return check_owner (&file->status, "", error) && check_folders (path, error);
}

static gboolean
check_words (const char *name, const PcdElfPlugin *elf, PcdPluginFile *file, GError **error)
{
  if (file->abi_major != POSTCOPYD_ABI_MAJOR)
    return refuse (
        error,
        _ ("is made for version %u.%u of the interface, expected %d: build it with the header of "
           "this postcopyd"),
        file->abi_major, file->abi_minor, POSTCOPYD_ABI_MAJOR);
  if (file->struct_size < PLUGIN_1_0 || file->struct_size > IMPLAUSIBLE)
    return refuse (error, _ ("says that its PostcopydPlugin has %u bytes, expected at least %zu"),
                   file->struct_size, PLUGIN_1_0);
  if (file->struct_size > elf->symbol_size)
    return refuse (error, _ ("says that its PostcopydPlugin has %u bytes, and it has %" PRIu64),
                   file->struct_size, elf->symbol_size);
  if (file->flags & ~POSTCOPYD_FLAGS)
    return refuse (
        error,
        _ ("has flags %#x, of which this postcopyd does not know %#x: it is made for a later one"),
        file->flags, file->flags & ~POSTCOPYD_FLAGS);
  if (elf->name && strcmp (elf->name, name) != 0)
    return refuse (error, _ ("calls itself \"%.64s\", expected \"%s\", as in the configuration"),
                   elf->name, name);
  if (elf->kind && strcmp (elf->kind, "action") != 0 && strcmp (elf->kind, "sink") != 0)
    return refuse (error, _ ("is of kind \"%.32s\", expected action or sink"), elf->kind);
  return TRUE;
}

static gboolean
read_words (const char *name, PcdPluginFile *file, GError **error)
{
  g_auto (PcdElfPlugin) elf = { 0 };

  if (!pcd_elf_read_plugin (file->fd, offsetof (PostcopydPlugin, name),
                            offsetof (PostcopydPlugin, kind), &elf, error))
    return FALSE;
  file->abi_major = elf.words[0];
  file->abi_minor = elf.words[1];
  file->struct_size = elf.words[2];
  file->flags = elf.words[3];
  file->kind = g_strdup (elf.kind);
  return check_words (name, &elf, file, error);
}

PcdPluginFile *
pcd_plugin_file_open (const char *name, const char *path, GError **error)
{
  g_autofree char *where = pcd_plugin_file_path (name, path);
  g_autoptr (PcdPluginFile) file = g_new0 (PcdPluginFile, 1);
  g_autofree char *shown = g_filename_display_name (where);

  file->fd = -1;
  if (open_file (where, file, error) && read_words (name, file, error))
    return g_steal_pointer (&file);
  g_prefix_error (error, "%s: ", shown);
  return NULL;
}

void
pcd_plugin_file_free (PcdPluginFile *file)
{
  if (file->fd >= 0)
    close (file->fd);
  g_free (file->kind);
  g_free (file);
}

static gboolean
check_size (const char *what, guint32 size, gsize least, GError **error)
{
  return (size >= least && size <= IMPLAUSIBLE) ||
         refuse (error, _ ("says that its %s has %u bytes, expected at least %zu"), what, size,
                 least);
}

static gboolean
check_action (const PostcopydAction *action, GError **error)
{
  if (!action)
    return refuse (error, _ ("is of kind action and has none"));
  if (!check_size ("PostcopydAction", action->struct_size, ACTION_1_0, error))
    return FALSE;
  if (action->limit_usec < 0 || action->limit_usec > LONGEST_USEC)
    return refuse (error, _ ("wants %" PRId64 " µs for a call, expected 0 to 30 min"),
                   action->limit_usec);
  return action->run || refuse (error, _ ("has an action without run"));
}

static gboolean
check_sink (const PostcopydSink *sink, GError **error)
{
  if (!sink)
    return refuse (error, _ ("is of kind sink and has none"));
  return check_size ("PostcopydSink", sink->struct_size, SINK_1_0, error) &&
         (sink->deliver || refuse (error, _ ("has a sink without deliver")));
}

gboolean
pcd_plugin_check_table (const char *name, const PostcopydPlugin *table, GError **error)
{
  if (!table->name || strcmp (table->name, name) != 0)
    return refuse (error, _ ("calls itself \"%.64s\", expected \"%s\", as in the configuration"),
                   table->name ? table->name : "", name);
  if (g_strcmp0 (table->kind, "action") == 0)
    return check_action (table->action, error);
  if (g_strcmp0 (table->kind, "sink") == 0)
    return check_sink (table->sink, error);
  return refuse (error, _ ("is of kind \"%.32s\", expected action or sink"),
                 table->kind ? table->kind : "");
}
