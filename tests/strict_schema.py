# SPDX-License-Identifier: LGPL-2.1-or-later
"""docs/postcopyd.schema.json, stricter than it is for others: for tests of what is really written.
ImportError without python3-jsonschema."""
import json
import os

import jsonschema

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..')


def load(*path):
    with open(os.path.join(TOP, *path), encoding='utf-8') as f:
        return json.load(f)


def strict(schema):
    """No unknown members, and no words but those that are known."""
    if isinstance(schema, list):
        return [strict(s) for s in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {k: strict(v) for k, v in schema.items()}
    if schema.get('type') == 'object' and isinstance(schema.get('properties'), dict):
        schema['additionalProperties'] = False
    if schema.get('type') == 'string' and 'examples' in schema:
        schema['enum'] = schema['examples']
    return schema


SCHEMA = load('docs', 'postcopyd.schema.json')
POLICY = load('policies', 'policy.schema.json')
DEFS = SCHEMA['$defs']
STRICT = strict(SCHEMA)


def check(schema):
    """That it is a schema itself."""
    jsonschema.Draft202012Validator.check_schema(schema)


def validator(name, schema=STRICT):
    """Of one of $defs; None: of the whole."""
    resolver = jsonschema.RefResolver(schema['$id'], schema,
                                      store={schema['$id']: schema, POLICY['$id']: POLICY})
    ref = schema['$id'] + (f'#/$defs/{name}' if name else '')
    return jsonschema.Draft202012Validator({'$ref': ref}, resolver=resolver)


def faults(name, document):
    """What is wrong with it, one line each."""
    return [f'{name}.{".".join(map(str, e.absolute_path))}: {e.message}'[:500]
            for e in validator(name).iter_errors(document)]
