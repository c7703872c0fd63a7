/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where each member of 1.0 is, by the header HEADER: compiled with the frozen one and with today's,
 * both must say the same. A new member is not listed here before a 1.1 is frozen. */
#include HEADER
#include <stdio.h>

#define TELL(type, member)                                                                         \
  printf (#type "." #member " %zu %zu\n", offsetof (type, member), sizeof (((type *)0)->member))
#define VALUE(name) printf (#name " %ld\n", (long)(name))

int
main (void)
{
  TELL (PostcopydParam, name);
  TELL (PostcopydParam, value);
  printf ("PostcopydParam %zu\n", sizeof (PostcopydParam));
  TELL (PostcopydMigration, struct_size);
  TELL (PostcopydMigration, uuid);
  TELL (PostcopydMigration, name);
  TELL (PostcopydMigration, role);
  TELL (PostcopydMigration, phase);
  TELL (PostcopydMigration, flow);
  TELL (PostcopydMigration, cause);
  TELL (PostcopydMigration, pid);
  TELL (PostcopydMigration, libvirt_uri);
  TELL (PostcopydMigration, peer_address);
  TELL (PostcopydMigration, n_params);
  TELL (PostcopydMigration, params);
  TELL (PostcopydMigration, internal);
  TELL (PostcopydMigration, incident);
  TELL (PostcopydMigration, peer_uri);
  TELL (PostcopydMigration, connection);
  TELL (PostcopydMigration, phase_since_usec);
  TELL (PostcopydMigration, flags);
  TELL (PostcopydJob, struct_size);
  TELL (PostcopydJob, deadline_usec);
  TELL (PostcopydJob, cancelled);
  TELL (PostcopydJob, progress);
  TELL (PostcopydJob, cancel_fd);
  TELL (PostcopydJob, log);
  TELL (PostcopydJob, n_settings);
  TELL (PostcopydJob, settings);
  TELL (PostcopydJob, directory);
  TELL (PostcopydAction, struct_size);
  TELL (PostcopydAction, run);
  TELL (PostcopydAction, limit_usec);
  TELL (PostcopydAction, params);
  TELL (PostcopydAction, settings);
  TELL (PostcopydNote, struct_size);
  TELL (PostcopydNote, id);
  TELL (PostcopydNote, stream);
  TELL (PostcopydNote, kind);
  TELL (PostcopydNote, time_usec);
  TELL (PostcopydNote, json);
  TELL (PostcopydDelivery, struct_size);
  TELL (PostcopydDelivery, n_delivered);
  TELL (PostcopydDelivery, retry_after_usec);
  TELL (PostcopydSink, struct_size);
  TELL (PostcopydSink, max_batch);
  TELL (PostcopydSink, deliver);
  TELL (PostcopydSink, settings);
  TELL (PostcopydPlugin, abi_major);
  TELL (PostcopydPlugin, abi_minor);
  TELL (PostcopydPlugin, struct_size);
  TELL (PostcopydPlugin, flags);
  TELL (PostcopydPlugin, name);
  TELL (PostcopydPlugin, kind);
  TELL (PostcopydPlugin, description);
  TELL (PostcopydPlugin, action);
  TELL (PostcopydPlugin, sink);
  TELL (PostcopydPlugin, version);
  VALUE (POSTCOPYD_ABI_MAJOR);
  VALUE (POSTCOPYD_DONE);
  VALUE (POSTCOPYD_REFUSED);
  VALUE (POSTCOPYD_FAILED);
  VALUE (POSTCOPYD_ERROR);
  VALUE (POSTCOPYD_WARNING);
  VALUE (POSTCOPYD_NOTICE);
  VALUE (POSTCOPYD_INFO);
  VALUE (POSTCOPYD_DEBUG);
  VALUE (POSTCOPYD_FORCED);
  VALUE (POSTCOPYD_DESTROY_ALLOWED);
  VALUE (POSTCOPYD_DESTROYS);
  VALUE (POSTCOPYD_HANDLES_GUEST);
  VALUE (POSTCOPYD_REPEATABLE);
  return 0;
}
