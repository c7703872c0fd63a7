/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Empties the rtnetlink socket without reading what it says: any message is news.
 * Must not decide what the news means. */
#include "host/pcd-netnews.h"

#include <errno.h>
#include <gio/gio.h>
#include <glib-unix.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <unistd.h>

#define DEBOUNCE_MSEC 50

struct _PcdNetnews {
  int fd;
  GSource *source;
  GSource *timer;
  PcdNetnewsCallback callback;
  gpointer data;
};

static void
clear_source (GSource **source)
{
  if (*source) {
    g_source_destroy (*source);
    g_source_unref (*source);
  }
  *source = NULL;
}

static gboolean
on_quiet (gpointer data)
{
  PcdNetnews *news = data;

  clear_source (&news->timer);
  news->callback (news->data); /* may free it */
  return G_SOURCE_REMOVE;
}

static gboolean
on_readable (int fd, GIOCondition condition, gpointer data)
{
  PcdNetnews *news = data;
  char buffer[8192];
  ssize_t n;

  do
    n = recv (fd, buffer, sizeof buffer, MSG_DONTWAIT);
  while (n > 0 || (n < 0 && (errno == EINTR || errno == ENOBUFS)));
  if (!news->timer) {
    news->timer = g_timeout_source_new (DEBOUNCE_MSEC);
    g_source_set_callback (news->timer, on_quiet, news, NULL);
    g_source_attach (news->timer, g_main_context_get_thread_default ());
  }
  return G_SOURCE_CONTINUE;
}

PcdNetnews *
pcd_netnews_new (PcdNetnewsCallback callback, gpointer data, GError **error)
{
  struct sockaddr_nl address = {
    .nl_family = AF_NETLINK,
    .nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE |
                 RTMGRP_IPV6_ROUTE,
  };
  int fd = socket (AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

  if (fd < 0 || bind (fd, (struct sockaddr *)&address, sizeof address) < 0) {
    g_set_error (error, G_IO_ERROR, (gint)g_io_error_from_errno (errno), "rtnetlink: %s",
                 g_strerror (errno));
    if (fd >= 0)
      close (fd);
    return NULL;
  }
  PcdNetnews *news = g_new0 (PcdNetnews, 1);
  news->fd = fd;
  news->callback = callback;
  news->data = data;
  news->source = g_unix_fd_source_new (fd, G_IO_IN);
  g_source_set_callback (news->source, G_SOURCE_FUNC (on_readable), news, NULL);
  g_source_attach (news->source, g_main_context_get_thread_default ());
  return news;
}

void
pcd_netnews_free (PcdNetnews *news)
{
  clear_source (&news->source);
  clear_source (&news->timer);
  close (news->fd);
  g_free (news);
}
