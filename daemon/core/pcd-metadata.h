/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a domain's metadata says about its policy. Whoever may edit the domain writes it, so it is
 * hostile input. Pure: must not know where the text comes from, nor which policies there are. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* As in `virsh metadata DOMAIN --uri PCD_METADATA_URI --key PCD_METADATA_KEY --set …`. */
#define PCD_METADATA_URI "https://postcopyd.org/policy/1"
#define PCD_METADATA_KEY "postcopyd"

/* The element is some fifty bytes; libvirt itself would keep megabytes. */
#define PCD_METADATA_MAX_BYTES 4096

#define PCD_METADATA_ERROR (pcd_metadata_error_quark ())
GQuark pcd_metadata_error_quark (void);

/**
 * PcdMetadataError:
 * @PCD_METADATA_ERROR_XML: no XML that is worth looking at: too long, malformed, a document type
 * @PCD_METADATA_ERROR_ELEMENT: another element, attribute or content than expected
 * @PCD_METADATA_ERROR_NAME: not a name that a policy can have
 */
typedef enum {
  PCD_METADATA_ERROR_XML,
  PCD_METADATA_ERROR_ELEMENT,
  PCD_METADATA_ERROR_NAME,
} PcdMetadataError;

/**
 * pcd_metadata_parse:
 * @xml: the element as virDomainGetMetadata () returns it; that is one element, whose namespace is
 *   %PCD_METADATA_URI itself or not declared at all: libvirt (9.0, and 11.3 by its source) takes
 *   the prefix and the declaration off when it returns an element that it put there
 * @ret_policy: (out) (transfer full): the policy's name; well-formed, but it need not exist
 *
 * Expects `<policy name="NAME"/>` and nothing else: no other attribute, no child, no text, no
 * document type, so no entity either, and nothing is ever fetched.
 *
 * Returns: %FALSE with @error saying in one printable line what was got and what was expected
 */
gboolean pcd_metadata_parse (const char *xml, char **ret_policy, GError **error);

G_END_DECLS
