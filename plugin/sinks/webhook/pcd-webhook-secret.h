/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Secrets of a webhook: read from files that nobody else may read, and what is signed with them.
 * No message of this file ever has a byte of a secret. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* A secret's bytes, overwritten when they are freed. */
typedef struct _PcdSecret PcdSecret;

void pcd_secret_free (PcdSecret *secret);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PcdSecret, pcd_secret_free)

/**
 * pcd_secret_read:
 * @credential: an absolute path; or the name of a file in $CREDENTIALS_DIRECTORY, where systemd
 *   puts what `LoadCredential=` says (systemd.exec(5))
 *
 * A regular file of root's or of this process's user that its group and others may neither read nor
 * write, up to 4 KiB. White space at the end of a line does not count. Any thread; read anew for
 * each delivery, so that a changed secret counts at once.
 *
 * Errors are of %G_FILE_ERROR and name the file.
 */
PcdSecret *pcd_secret_read (const char *credential, GError **error);

/**
 * pcd_secret_authorization:
 *
 * Returns: (transfer full): "Bearer " and the token; %NULL with @error set unless the secret is one
 *   line that may be in a header (RFC 6750, 2.1)
 */
char *pcd_secret_authorization (const PcdSecret *token, const char *credential, GError **error);

/**
 * pcd_secret_sign:
 * @key: up to four lines, a key each: old and new while keys are changed. `whsec_` and base64, or
 *   any text, of 16 bytes at least
 * @timestamp: seconds since the epoch
 *
 * As https://www.standardwebhooks.com has it: HMAC-SHA256 over "ID.TIMESTAMP.BODY".
 *
 * Returns: (transfer full): "v1,BASE64", one for each key, with a blank between
 */
char *pcd_secret_sign (const PcdSecret *key,
                       const char *credential,
                       const char *id,
                       gint64 timestamp,
                       const char *body,
                       GError **error);

G_END_DECLS
