/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One element in one form says which policy; all else is refused, whoever wrote it. */
#include "core/pcd-metadata.h"

#include <string.h>

#define URI      PCD_METADATA_URI
#define EXPECTED ", expected <policy name=\"NAME\"/>"

static void
test_good (void)
{
  static const struct {
    const char *xml;
    const char *policy;
  } rows[] = {
    { "<policy name=\"protect\"/>", "protect" }, /* as libvirt returns it */
    { "<policy name='protect'/>", "protect" },
    { "<policy name=\"protect\"></policy>", "protect" },
    { "\n <policy\n name = 'x-1' >\n</policy >\n", "x-1" },
    { "<policy xmlns=\"" URI "\" name=\"fence\"/>", "fence" },
    { "<p:policy xmlns:p=\"" URI "\" name=\"fence\"/>", "fence" },
    { "<policy xmlns:other=\"urn:x\" name=\"fence\"/>", "fence" },
    { "<policy name=\"&#112;rotect\"/>", "protect" },
    { "<policy name=\"a23456789012345678901234567890-2\"/>", "a23456789012345678901234567890-2" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autoptr (GError) error = NULL;
    g_autofree char *policy = NULL;

    g_test_message ("row %u", i);
    pcd_metadata_parse (rows[i].xml, &policy, &error);
    g_assert_no_error (error);
    g_assert_cmpstr (policy, ==, rows[i].policy);
  }
}

#define NAME_EXPECTED                                                                              \
  ", which no policy can have (up to 32 lower case letters, digits and dashes, a letter "          \
  "first)" EXPECTED
#define DECLARES "got a comment, a document type or an instruction" EXPECTED

static void
test_bad (void)
{
  static const struct {
    const char *xml;
    PcdMetadataError code;
    const char *message;
  } rows[] = {
    { "", PCD_METADATA_ERROR_XML, "got \"\", which is not well-formed" EXPECTED },
    { "protect", PCD_METADATA_ERROR_XML, "got \"protect\", which is not well-formed" EXPECTED },
    { "<policy name=\"protect\">", PCD_METADATA_ERROR_XML,
      "got \"<policy name=\\\"protect\\\">\", which is not well-formed" EXPECTED },
    { "<policy name=\"a\" name=\"b\"/>", PCD_METADATA_ERROR_XML,
      "got \"<policy name=\\\"a\\\" name=\\\"b\\\"/>\", which is not well-formed" EXPECTED },
    { "<policy name=\"a\"/><policy name=\"b\"/>", PCD_METADATA_ERROR_XML, NULL },
    { "<policy name=\"&lol;\"/>", PCD_METADATA_ERROR_XML, NULL },
    { "<policy name=\"\xff\"/>", PCD_METADATA_ERROR_XML,
      "got something that is not UTF-8" EXPECTED },
    { "<!DOCTYPE policy SYSTEM \"http://127.0.0.1:1/x\"><policy name=\"protect\"/>",
      PCD_METADATA_ERROR_XML, DECLARES },
    { "<!DOCTYPE p [<!ENTITY f SYSTEM \"file:///etc/passwd\">]><policy name=\"x\">&f;</policy>",
      PCD_METADATA_ERROR_XML, DECLARES },
    { "<?xml version=\"1.0\" encoding=\"UTF-7\"?><policy name=\"protect\"/>",
      PCD_METADATA_ERROR_XML, DECLARES },
    { "<policy name=\"protect\"><!-- x --></policy>", PCD_METADATA_ERROR_XML, DECLARES },
    { "<policy name=\"protect\"><![CDATA[]]></policy>", PCD_METADATA_ERROR_XML, DECLARES },
    { "<Policy name=\"protect\"/>", PCD_METADATA_ERROR_ELEMENT, "got element \"Policy\"" EXPECTED },
    { "<policies><policy name=\"protect\"/></policies>", PCD_METADATA_ERROR_ELEMENT,
      "got element \"policies\"" EXPECTED },
    { "<p:policy name=\"protect\"/>", PCD_METADATA_ERROR_ELEMENT,
      "got element \"p:policy\"" EXPECTED },
    { "<policy xmlns=\"https://postcopyd.org/policy/2\" name=\"protect\"/>",
      PCD_METADATA_ERROR_ELEMENT,
      "got an element of namespace \"https://postcopyd.org/policy/2\"" EXPECTED },
    { "<policy/>", PCD_METADATA_ERROR_ELEMENT, "got no attribute \"name\"" EXPECTED },
    { "<policy Name=\"protect\"/>", PCD_METADATA_ERROR_ELEMENT, "got attribute \"Name\"" EXPECTED },
    { "<policy name=\"protect\" allow-destroy=\"yes\"/>", PCD_METADATA_ERROR_ELEMENT,
      "got attribute \"allow-destroy\"" EXPECTED },
    { "<policy xmlns:p=\"" URI "\" p:name=\"protect\"/>", PCD_METADATA_ERROR_ELEMENT,
      "got attribute \"name\"" EXPECTED },
    { "<policy name=\"protect\">x</policy>", PCD_METADATA_ERROR_ELEMENT,
      "got an element that is not empty" EXPECTED },
    { "<policy name=\"protect\"><allow-destroy/></policy>", PCD_METADATA_ERROR_ELEMENT,
      "got an element that is not empty" EXPECTED },
    { "<policy name=\"\"/>", PCD_METADATA_ERROR_NAME, "got name \"\"" NAME_EXPECTED },
    { "<policy name=\" protect\"/>", PCD_METADATA_ERROR_NAME,
      "got name \" protect\"" NAME_EXPECTED },
    { "<policy name=\"../fence\"/>", PCD_METADATA_ERROR_NAME,
      "got name \"../fence\"" NAME_EXPECTED },
    { "<policy name=\"Protect\"/>", PCD_METADATA_ERROR_NAME, "got name \"Protect\"" NAME_EXPECTED },
    { "<policy name=\"a&#10;b\"/>", PCD_METADATA_ERROR_NAME, "got name \"a\\nb\"" NAME_EXPECTED },
    { "<policy name=\"a23456789012345678901234567890-23\"/>", PCD_METADATA_ERROR_NAME,
      "got name \"a23456789012345678901234567890-23\"" NAME_EXPECTED },
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autoptr (GError) error = NULL;
    char *policy = (char *)"untouched";

    g_test_message ("row %u", i);
    g_assert_false (pcd_metadata_parse (rows[i].xml, &policy, &error));
    g_assert_error (error, PCD_METADATA_ERROR, (int)rows[i].code);
    g_assert_cmpstr (policy, ==, "untouched");
    if (rows[i].message)
      g_assert_cmpstr (error->message, ==, rows[i].message);
    g_assert_true (g_str_has_suffix (error->message, EXPECTED));
  }
}

static void
test_size (void)
{
  g_autoptr (GString) xml = g_string_new ("<policy name=\"protect\">");
  g_autoptr (GError) error = NULL;
  g_autofree char *policy = NULL;

  while (xml->len < PCD_METADATA_MAX_BYTES - strlen ("</policy>"))
    g_string_append_c (xml, ' ');
  g_string_append (xml, "</policy>");
  g_assert_true (pcd_metadata_parse (xml->str, &policy, &error));
  g_string_append_c (xml, ' ');
  g_assert_false (pcd_metadata_parse (xml->str, NULL, &error));
  g_assert_cmpstr (error->message, ==, "got 4097 bytes" EXPECTED);
}

/* Deep nesting and thousands of attributes in what is left: no crash, no time. */
static void
test_depth (void)
{
  g_autoptr (GString) xml = g_string_new (NULL);
  g_autoptr (GError) error = NULL;
  gint64 began = g_get_monotonic_time ();

  while (xml->len + 3 <= PCD_METADATA_MAX_BYTES)
    g_string_append (xml, "<a>");
  g_assert_false (pcd_metadata_parse (xml->str, NULL, &error));
  g_assert_error (error, PCD_METADATA_ERROR, PCD_METADATA_ERROR_XML);
  g_assert_cmpint (g_get_monotonic_time () - began, <, G_USEC_PER_SEC);
}

/* Good elements with some bytes changed: accepted only with a good name, refused with one line. */
static void
test_mutations (void)
{
  static const char base[] = "<policy xmlns=\"" URI "\" name=\"protect\"></policy>";
  static const char alphabet[] = "<>/=\"'&;!?[]-:# \n\x01\xc3\xa9\xffx1policyname";
  guint n_good = 0;

  for (guint round = 0; round < 20000; round++) {
    g_autoptr (GError) error = NULL;
    g_autofree char *policy = NULL;
    char xml[sizeof base];

    memcpy (xml, base, sizeof base);
    for (int i = g_test_rand_int_range (0, 4); i > 0; i--)
      xml[g_test_rand_int_range (0, sizeof base - 1)] =
          alphabet[g_test_rand_int_range (0, sizeof alphabet - 1)];
    if (pcd_metadata_parse (xml, &policy, &error)) {
      n_good++;
      g_assert_true (
          g_regex_match_simple ("^[a-z][a-z0-9-]{0,31}$", policy, G_REGEX_DOLLAR_ENDONLY, 0));
      continue;
    }
    g_assert_true (g_utf8_validate (error->message, -1, NULL));
    g_assert_null (strpbrk (error->message, "\n\r\x01"));
  }
  g_assert_cmpuint (n_good, >, 1000); /* a quarter is not changed at all */
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/metadata/good", test_good);
  g_test_add_func ("/metadata/bad", test_bad);
  g_test_add_func ("/metadata/size", test_size);
  g_test_add_func ("/metadata/depth", test_depth);
  g_test_add_func ("/metadata/mutations", test_mutations);
  return g_test_run ();
}
