/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* postcopyd: arguments and wiring, nothing else. */
#include <glib.h>

int
main (int argc, char **argv)
{
  return 0;
}
