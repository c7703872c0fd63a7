/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Descriptors that may not be open. */
#pragma once

#include <unistd.h>

static inline void
pcd_close_if_open (int fd)
{
  if (fd >= 0)
    close (fd);
}
