/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/**
 * pcd_stderr_init:
 *
 * From now on nothing that g_printerr() is given can talk to the terminal: an escape sequence in a
 * name, a file or another host's answer is printed as question marks. Lines stay lines. To be
 * called first of all in main(), before there are threads.
 */
void pcd_stderr_init (void);
