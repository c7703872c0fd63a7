/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Action `force-pause`. */
#pragma once

#include "postcopyd-plugin.h"

extern const PostcopydPlugin pcd_action_force_pause_plugin;
