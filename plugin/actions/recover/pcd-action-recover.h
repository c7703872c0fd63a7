/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The action `recover`, see README.md here. */
#pragma once

#include "postcopyd-plugin.h"

extern const PostcopydPlugin pcd_action_recover_plugin;
