/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libvirt's handles and errors made fit for GLib code: autoptr, GError.
 * Must not know what the calls are for. */
#pragma once

#include <glib.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

G_BEGIN_DECLS

/**
 * PCD_VIR_ERROR: domain of errors that libvirt reported; codes are virErrorNumber.
 */
#define PCD_VIR_ERROR (pcd_vir_error_quark ())
GQuark pcd_vir_error_quark (void);

/**
 * pcd_vir_init:
 *
 * Keeps libvirt from writing errors to stderr: they come back as #GError. Idempotent, and must run
 * before other threads use libvirt.
 */
void pcd_vir_init (void);

/* What to look at when no connection to libvirt was made, by its last error. */
const char *pcd_vir_connect_advice (void);

/**
 * pcd_vir_set_error:
 * @call: the libvirt function that failed
 *
 * Turns the calling thread's last libvirt error into @error, message "@call: …".
 */
void pcd_vir_set_error (GError **error, const char *call);

/**
 * pcd_vir_close_reason:
 * @reason: virConnectCloseReason
 *
 * Returns: words for people
 */
const char *pcd_vir_close_reason (int reason);

/**
 * pcd_vir_status_from_json:
 * @json: (nullable): `{"status":…}`, as in the MIGRATION event, or with @member, as in a reply
 * @member: (nullable): where the object is, "return" for a QMP reply
 * @ret_word: (out) (transfer full): QEMU's word. "none" when the object has no status, which is
 *   how query-migrate says that there was no migration
 *
 * Errors: %G_IO_ERROR_INVALID_DATA if @json is not such an object
 */
gboolean
pcd_vir_status_from_json (const char *json, const char *member, char **ret_word, GError **error);

/**
 * pcd_vir_find_domain:
 * @name: an id, a UUID or a name, tried in this order as virsh does
 *
 * Several RPCs: not for the main thread.
 *
 * Returns: (transfer full): the domain, or %NULL with libvirt's last error set
 */
virDomainPtr pcd_vir_find_domain (virConnectPtr connection, const char *name);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (virDomain, virDomainFree)
/* Closing is an RPC that can wait: never in a function that runs on the main thread. */
G_DEFINE_AUTOPTR_CLEANUP_FUNC (virConnect, virConnectClose)

G_END_DECLS
