/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A look at the source, a listening QEMU here, an invitation there.
 * Must not make the source's QEMU do anything. */
#include "libvirt/pcd-invite.h"

#include <gio/gio.h>

#include "libvirt/pcd-peer.h"
#include "libvirt/pcd-recover.h"
#include "libvirt/pcd-vir-qmp.h"

#define POLL_USEC (100 * 1000)
#define WAIT_USEC ((gint64)10 * G_USEC_PER_SEC)

/* The address of ours that leads to @address; what a migration from there can reach. */
static gboolean
find_own_address (const char *address, PcdEndpoint *endpoint, GError **error)
{
  g_autoptr (GSocketAddress) there = g_inet_socket_address_new_from_string (address, 9);
  g_autoptr (GSocketAddress) here = NULL;
  g_autoptr (GSocket) socket = NULL;
  g_autofree char *text = NULL;

  if (!there) {
    g_set_error (error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT, "'%s' is no address", address);
    return FALSE;
  }
  socket = g_socket_new (g_socket_address_get_family (there), G_SOCKET_TYPE_DATAGRAM,
                         G_SOCKET_PROTOCOL_UDP, error);
  if (!socket || !g_socket_connect (socket, there, NULL, error) ||
      !(here = g_socket_get_local_address (socket, error)))
    return FALSE;
  text =
      g_inet_address_to_string (g_inet_socket_address_get_address (G_INET_SOCKET_ADDRESS (here)));
  g_strlcpy (endpoint->address, text, sizeof endpoint->address);
  return TRUE;
}

static gboolean
leave (virDomainPtr domain, const PcdEndpoint *endpoint, GError **error)
{
  g_autofree char *id = pcd_invitation_to_id (endpoint);
  g_autofree char *line =
      g_strdup_printf ("{\"execute\":\"chardev-add\",\"arguments\":{\"id\":\"%s\",\"backend\":"
                       "{\"type\":\"null\",\"data\":{}}}}",
                       id);
  g_autofree char *reply = pcd_vir_qmp (domain, line, error);

  return reply != NULL;
}

static gboolean
must_end (const PcdInviteRequest *request)
{
  return g_get_monotonic_time () >= request->deadline ||
         (request->cancelled && request->cancelled (request->data));
}

static PcdOutcome
wait_for_source (const PcdInviteRequest *request,
                 virDomainPtr domain,
                 const PcdEndpoint *endpoint,
                 char **ret_reason)
{
  const gint64 until = g_get_monotonic_time () + WAIT_USEC;

  while (g_get_monotonic_time () < until && !must_end (request)) {
    const PcdRecoverSign sign = pcd_recover_look (domain);

    if (sign == PCD_RECOVER_ENDED) {
      *ret_reason =
          g_strdup_printf ("the source was invited to %s port %u, and its domain is gone since: %s",
                           endpoint->address, endpoint->port, PCD_RECOVER_ENDED_WORDS);
      return PCD_OUTCOME_FAILED;
    }
    if (sign == PCD_RECOVER_BEGAN) {
      *ret_reason = g_strdup_printf (
          "the source recovers, as invited to %s port %u; if a stop was pending here, libvirt "
          "keeps "
          "the migration's job when it has completed: restart libvirt's daemon here then",
          endpoint->address, endpoint->port);
      return PCD_OUTCOME_DONE;
    }
    g_usleep (POLL_USEC);
  }
  *ret_reason = g_strdup_printf (
      "the source was invited to %s port %u and has not come yet: its postcopyd has to recover, by "
      "policy or by an operator there",
      endpoint->address, endpoint->port);
  return PCD_OUTCOME_FAILED;
}

static PcdOutcome
invite (const PcdInviteRequest *request,
        const char *address,
        virDomainPtr domain,
        char **ret_reason)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *old = NULL;
  PcdOutcome outcome = PCD_OUTCOME_FAILED;
  PcdEndpoint endpoint = { 0 };

  if (!pcd_recover_is_paused (domain, &outcome, ret_reason))
    return outcome;
  if (pcd_vir_qmp_uses_tls (domain)) {
    *ret_reason = g_strdup ("the stream is encrypted, and a QEMU that hangs cannot shake hands");
    return PCD_OUTCOME_FAILED;
  }
  /* Listening anew makes an earlier invitation void. */
  while (pcd_vir_qmp_find_invitation (domain, &old, &endpoint)) {
    pcd_vir_qmp_remove_invitation (domain, old);
    g_clear_pointer (&old, g_free);
    if (must_end (request))
      break;
  }
  endpoint = (PcdEndpoint){ 0 };
  if (!find_own_address (address, &endpoint, &error) ||
      !request->listen (&endpoint, request->data, &error) || !leave (domain, &endpoint, &error)) {
    *ret_reason = g_strdup (error->message);
    return PCD_OUTCOME_FAILED;
  }
  return wait_for_source (request, domain, &endpoint, ret_reason);
}

static PcdOutcome
try_route (const PcdInviteRequest *request,
           const PcdRoute *route,
           gboolean *ret_reached,
           char **ret_reason)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (virConnect) connection = NULL;
  g_autoptr (virDomain) domain = NULL;

  if (!pcd_peer_knock (route, PCD_PEER_TIMEOUT_USEC, &error)) {
    *ret_reason = g_strdup (error->message);
    return PCD_OUTCOME_FAILED;
  }
  connection = virConnectOpen (route->libvirt_uri);
  if (connection)
    virConnectSetKeepAlive (connection, 5, 2); /* so that a call to a host that died ends */
  domain = connection ? virDomainLookupByUUIDString (connection, request->uuid) : NULL;
  if (!domain) {
    pcd_vir_set_error (&error, "the source's libvirt");
    *ret_reason = g_strdup (error->message);
    return PCD_OUTCOME_FAILED;
  }
  *ret_reached = TRUE;
  return invite (request, route->address, domain, ret_reason);
}

PcdOutcome
pcd_invite_run (const PcdInviteRequest *request, char **ret_reason)
{
  g_autoptr (GString) tried = g_string_new (NULL);

  for (guint i = 0; i < request->routes->len; i++) {
    const PcdRoute *route = g_ptr_array_index (request->routes, i);
    gboolean reached = FALSE;
    g_autofree char *reason = NULL;
    PcdOutcome outcome = try_route (request, route, &reached, &reason);

    if (reached) {
      *ret_reason = g_steal_pointer (&reason);
      return outcome;
    }
    g_string_append_printf (tried, "%s%s: %s", tried->len ? "; " : "", route->address, reason);
    if (must_end (request))
      break;
  }
  *ret_reason = g_strdup (tried->str);
  return PCD_OUTCOME_FAILED;
}
