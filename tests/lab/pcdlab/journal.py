# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a host's journal tells of incidents, and whether that can be true."""

import json


def _ask(host, *args):
    done = host.ctl("incident", *args, "--json", "--state-dir", "/var/lib/postcopyd")
    assert done.rc == 0, done
    return json.loads(done.out)


def check_no_incident(host):
    """An undisturbed migration leaves nothing in the journal."""
    listed = _ask(host, "list")
    assert listed == [], [(incident, _ask(host, "show", str(incident["id"]))) for incident in listed]


def check_journal(host, *how):
    """One incident, ended as one of `how`; each intent has just one result, after it, and no action was
    begun while another of its kind was under way. Returns {action: [outcomes]}."""
    listed = _ask(host, "list")
    assert len(listed) == 1 and listed[0].get("how") in how, listed
    told = _ask(host, "show", str(listed[0]["id"]))["timeline"]
    open_tickets, outcomes = {}, {}
    for entry in told:
        if entry["type"] == "intent":
            assert entry["action"] not in open_tickets.values(), (entry, told)
            assert entry["ticket"] not in open_tickets, (entry, told)
            open_tickets[entry["ticket"]] = entry["action"]
        elif entry["type"] == "result":
            assert open_tickets.pop(entry["ticket"], None) == entry["action"], (entry, told)
            outcomes.setdefault(entry["action"], []).append(entry["outcome"])
    assert not open_tickets, (open_tickets, told)
    assert listed[0]["actions"] == sum(len(each) for each in outcomes.values()), (listed, outcomes)
    print(f"# {host.name}'s journal: {outcomes}")
    return outcomes
