/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Action `snapshot`. */
#pragma once

#include "postcopyd-plugin.h"

extern const PostcopydPlugin pcd_action_snapshot_plugin;
