/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Action `notify`: the telling itself. */
#pragma once

#include "postcopyd-plugin.h"

extern const PostcopydPlugin pcd_action_notify_plugin;
