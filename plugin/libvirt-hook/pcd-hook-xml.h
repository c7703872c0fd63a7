/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Domain XML in, the same with a control monitor out: every other byte stays as it was.
 * Pure: no file, no process, no log. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

#define PCD_HOOK_QEMU_NS "http://libvirt.org/schemas/domain/qemu/1.0"
/* More than any domain has; libvirt itself accepts 10 MiB of text per node. */
#define PCD_HOOK_MAX_XML (16u << 20)

/**
 * PcdHookError:
 * @PCD_HOOK_ERROR_DOUBT: this XML is to be left alone; the message says what was unexpected
 */
typedef enum {
  PCD_HOOK_ERROR_DOUBT,
} PcdHookError;

#define PCD_HOOK_ERROR (pcd_hook_error_quark ())
GQuark pcd_hook_error_quark (void);

/**
 * pcd_hook_xml_add_monitor:
 * @xml: a domain as libvirt gives it to a hook; need not be NUL-terminated
 * @length: its length in bytes
 * @error: set on any doubt
 *
 * Adds a `<qemu:commandline>` of its own as the last child of `<domain>`; libvirt merges several.
 * Recognises its own arguments by the id `pcd-monitor` in a `-chardev`, `-mon` or `-device` value;
 * ones of another form (another version of postcopyd) are replaced. Left alone with an error:
 * malformed XML, a document type or another encoding than UTF-8, a root other than a KVM or QEMU
 * `<domain>`, someone else's use of the id, and a domain that asks QEMU for another pty behind
 * libvirt's back, because then the two could not be told apart (see pcd_monitor_pick()).
 *
 * Returns: (transfer full) (nullable): the new XML, or %NULL without @error when the monitor is
 *   there already
 */
char *pcd_hook_xml_add_monitor (const char *xml, gsize length, GError **error);

G_END_DECLS
