#!/usr/bin/python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every MESSAGE_ID has an explanation of its own, and no explanation is left over."""
import re
import sys


def main(header_path, catalog_path):
    with open(header_path) as header, open(catalog_path) as catalog:
        ids = re.findall(r'#define (PCD_MESSAGE_\w+)\s+"(\w*)"', header.read())
        text = catalog.read()
    entries = re.split(r'^-- ', text, flags=re.M)[1:]
    faults = []
    if len(ids) < 10:
        faults.append(f'{header_path}: found only {len(ids)} ids')
    for name, value in ids:
        if not re.fullmatch(r'[0-9a-f]{32}', value):
            faults.append(f'{header_path}: {name} is not 32 hex digits')
    known = [entry.split('\n', 1)[0] for entry in entries]
    for name, value in ids:
        if known.count(value) != 1:
            faults.append(f'{catalog_path}: {known.count(value)} entries for {name}, expected 1')
    for value in set(known) - {value for _, value in ids}:
        faults.append(f'{catalog_path}: {value} is no id of {header_path}')
    if len({value for _, value in ids}) != len(ids):
        faults.append(f'{header_path}: an id is used twice')
    for entry in entries:
        if not re.match(r'\w{32}\nSubject: .+\nDefined-By: postcopyd\n\n\w', entry):
            faults.append(f'{catalog_path}: {entry[:32]}: expected Subject, Defined-By, empty line, text')
    print('\n'.join(faults) or f'{len(ids)} ids, all explained')
    return 1 if faults else 0


sys.exit(main(*sys.argv[1:]))
