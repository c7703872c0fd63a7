/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* gdb's remote serial protocol: packets in a stream of bytes.
 * Must not know what packets mean. Pure: no I/O, no clock. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Of a packet, as told to gdb; what is longer is not gdb's. */
#define PCD_RSP_MAX ((gsize)16384)

/**
 * PcdRspKind:
 * @PCD_RSP_NONE: not all of it has come
 * @PCD_RSP_PACKET: `$...#xx`, its checksum is right
 * @PCD_RSP_DAMAGED: the same, its checksum is wrong
 * @PCD_RSP_ACK: `+`
 * @PCD_RSP_NAK: `-`: the other end wants the last packet again
 * @PCD_RSP_INTERRUPT: the byte 3: stop
 * @PCD_RSP_NONSENSE: too long, or no packet
 */
typedef enum {
  PCD_RSP_NONE,
  PCD_RSP_PACKET,
  PCD_RSP_DAMAGED,
  PCD_RSP_ACK,
  PCD_RSP_NAK,
  PCD_RSP_INTERRUPT,
  PCD_RSP_NONSENSE,
} PcdRspKind;

/**
 * pcd_rsp_take:
 * @stream: bytes that came; what is taken is removed
 * @packet: (out caller-allocates): the packet's content, unescaped
 *
 * Format: "Overview" of appendix E of gdb's manual.
 */
PcdRspKind pcd_rsp_take (GByteArray *stream, GString *packet);

/* Appends @content as a packet, escaped. */
void pcd_rsp_add (GString *stream, const char *content, gsize size);

/* Appends bytes as hexadecimal digits. */
void pcd_rsp_add_hex (GString *content, gconstpointer data, gsize size);

/**
 * pcd_rsp_add_part:
 * @range: `OFFSET,LENGTH` in hexadecimal, the end of a `qXfer:...:read:...:` packet
 *
 * Appends the answer to it, a part of @text.
 */
void pcd_rsp_add_part (GString *content, const char *text, gsize size, const char *range);

G_END_DECLS
