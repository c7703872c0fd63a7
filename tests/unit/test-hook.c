/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the libvirt hook makes of a domain's XML, and that it leaves alone what it does not know.
 * Safety rule 9. */
#include "pcd-hook-xml.h"
#include "pcd-xml-spans.h"
#include "qmp/pcd-monitor.h"

#include <string.h>

#define NS "xmlns:qemu='" PCD_HOOK_QEMU_NS "'"
#define OURS                                                                                       \
  "<qemu:arg value='-chardev'/><qemu:arg value='pty,id=pcd-monitor'/>"                             \
  "<qemu:arg value='-mon'/><qemu:arg value='chardev=pcd-monitor,mode=control'/>"
#define ADDED                                                                                      \
  "  <qemu:commandline " NS ">\n"                                                                  \
  "    <qemu:arg value='-chardev'/>\n    <qemu:arg value='pty,id=pcd-monitor'/>\n"                 \
  "    <qemu:arg value='-mon'/>\n    <qemu:arg value='chardev=pcd-monitor,mode=control'/>\n"       \
  "  </qemu:commandline>\n"
#define SOCKET "socket,id=pcd-monitor,path=/run/x.qmp,server=on,wait=off"

typedef struct {
  const char *name;
  const char *in;
  const char *out;   /* NULL: unchanged */
  const char *doubt; /* part of the reason for leaving it alone */
} Case;

static const Case cases[] = {
  { "plain", "<domain type='kvm'>\n  <name>g</name>\n</domain>\n",
    "<domain type='kvm'>\n  <name>g</name>\n" ADDED "</domain>\n" },
  { "tcg", "<domain type='qemu'><name>g</name></domain>",
    "<domain type='qemu'><name>g</name>" ADDED "</domain>" },
  { "declaration", "<?xml version='1.0' encoding='utf-8'?>\n<domain type='kvm'><a/></domain>",
    "<?xml version='1.0' encoding='utf-8'?>\n<domain type='kvm'><a/>" ADDED "</domain>" },
  { "nothing-is-lost",
    "<domain type='kvm' id='3'>\n<!-- </domain> -->\n<description>&lt;a&#x41;&amp;</description>"
    "<metadata><x:y xmlns:x='urn:x' a=\"'>\"><![CDATA[</domain>&]]></x:y><?pi "
    "</domain>?></metadata>"
    "<e\t/>\n</domain>\n<!-- </domain> -->\n",
    "<domain type='kvm' id='3'>\n<!-- </domain> -->\n<description>&lt;a&#x41;&amp;</description>"
    "<metadata><x:y xmlns:x='urn:x' a=\"'>\"><![CDATA[</domain>&]]></x:y><?pi "
    "</domain>?></metadata>"
    "<e\t/>\n" ADDED "</domain>\n<!-- </domain> -->\n" },
  { "idempotent",
    "<domain type='kvm'><a/><qemu:commandline " NS ">" OURS "</qemu:commandline></domain>" },
  { "idempotent-other-prefix",
    "<domain type='kvm' xmlns:q='" PCD_HOOK_QEMU_NS "'><q:commandline><q:arg value='-s'/>"
    "<q:arg value='-chardev'/><q:arg value='pty,id=pcd-monitor'/>"
    "<q:arg value='-mon'/><q:arg value='chardev=pcd-monitor,mode=control'/>"
    "</q:commandline></domain>" },
  { "others-stay-in-order",
    "<domain type='kvm' " NS "><qemu:commandline><qemu:arg value='-a'/><qemu:arg value='b'/>"
    "<qemu:env name='c'/></qemu:commandline></domain>",
    "<domain type='kvm' " NS "><qemu:commandline><qemu:arg value='-a'/><qemu:arg value='b'/>"
    "<qemu:env name='c'/></qemu:commandline>" ADDED "</domain>" },
  { "other-prefix",
    "<domain type='kvm' xmlns:q='" PCD_HOOK_QEMU_NS
    "'><q:commandline><q:arg value='-a'/></q:commandline></domain>",
    "<domain type='kvm' xmlns:q='" PCD_HOOK_QEMU_NS
    "'><q:commandline><q:arg value='-a'/></q:commandline>" ADDED "</domain>" },
  { "default-namespace",
    "<domain type='kvm'><commandline xmlns='" PCD_HOOK_QEMU_NS
    "'><arg value='-a'/></commandline></domain>",
    "<domain type='kvm'><commandline xmlns='" PCD_HOOK_QEMU_NS
    "'><arg value='-a'/></commandline>" ADDED "</domain>" },
  { "prefix-means-something-else",
    "<domain type='kvm' xmlns:qemu='urn:other'><qemu:commandline>"
    "<qemu:arg value='id=pcd-monitor'/></qemu:commandline></domain>",
    "<domain type='kvm' xmlns:qemu='urn:other'><qemu:commandline>"
    "<qemu:arg value='id=pcd-monitor'/></qemu:commandline>" ADDED "</domain>" },
  { "replaces-an-older-form",
    "<domain type='kvm'>\n  <a/>\n  <qemu:commandline " NS ">\n<qemu:arg value='-chardev'/>"
    "<qemu:arg value='" SOCKET "'/>\n<qemu:arg value='-mon'/>"
    "<qemu:arg value='chardev=pcd-monitor,mode=control'/>\n</qemu:commandline>\n</domain>",
    "<domain type='kvm'>\n  <a/>\n" ADDED "</domain>" },
  { "replaces-among-others",
    "<domain type='kvm'><qemu:commandline " NS
    "><qemu:arg value='-a'/>\n<qemu:arg value='-chardev'>"
    "</qemu:arg><qemu:arg value='" SOCKET "'/>\n<qemu:arg value='-b'/><qemu:arg value='-mon'/>"
    "<qemu:arg value='chardev=pcd-monitor'/><qemu:arg value='-c'/></qemu:commandline></domain>",
    "<domain type='kvm'><qemu:commandline " NS "><qemu:arg value='-a'/>\n<qemu:arg value='-b'/>"
    "<qemu:arg value='-c'/></qemu:commandline>" ADDED "</domain>" },
  { "keeps-a-comment-beside-an-older-form",
    "<domain type='kvm'><qemu:commandline " NS "><!-- mine --><qemu:arg value='-chardev'/>"
    "<qemu:arg value='" SOCKET "'/></qemu:commandline></domain>",
    "<domain type='kvm'><qemu:commandline " NS "><!-- mine --></qemu:commandline>" ADDED
    "</domain>" },
  { "twice-becomes-once",
    "<domain type='kvm'><qemu:commandline " NS ">" OURS "</qemu:commandline><a/>"
    "<qemu:commandline " NS ">" OURS "</qemu:commandline></domain>",
    "<domain type='kvm'><a/>" ADDED "</domain>" },
  { "a-name-that-resembles-ours",
    "<domain type='kvm'><qemu:commandline " NS "><qemu:arg value='-chardev'/>"
    "<qemu:arg value='null,id=pcd-monitor2'/></qemu:commandline></domain>",
    "<domain type='kvm'><qemu:commandline " NS "><qemu:arg value='-chardev'/>"
    "<qemu:arg value='null,id=pcd-monitor2'/></qemu:commandline>" ADDED "</domain>" },
  { "deeper-elements-do-not-count",
    "<domain type='kvm'><metadata><qemu:commandline " NS "><qemu:arg value='-serial'/>"
    "<qemu:arg value='pty'/></qemu:commandline></metadata></domain>",
    "<domain type='kvm'><metadata><qemu:commandline " NS "><qemu:arg value='-serial'/>"
    "<qemu:arg value='pty'/></qemu:commandline></metadata>" ADDED "</domain>" },

  { "empty", "", NULL, "empty" },
  { "not-xml", "hello", NULL, "well-formed" },
  { "truncated", "<domain type='kvm'><name>g</name>", NULL, "well-formed" },
  { "crossed", "<domain type='kvm'><a></domain></a>", NULL, "well-formed" },
  { "two-roots", "<domain type='kvm'><a/></domain><domain type='kvm'><a/></domain>", NULL,
    "well-formed" },
  { "undefined-entity", "<domain type='kvm'><a>&x;</a></domain>", NULL, "well-formed" },
  { "undefined-prefix", "<domain type='kvm'><qemu:commandline/></domain>", NULL, "well-formed" },
  { "document-type", "<!DOCTYPE domain><domain type='kvm'><a/></domain>", NULL, "document type" },
  { "external-entity",
    "<!DOCTYPE d [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><domain type='kvm'><a>&x;</a></domain>",
    NULL, "document type" },
  { "encoding", "<?xml version='1.0' encoding='iso-8859-1'?><domain type='kvm'><a/></domain>", NULL,
    "UTF-8" },
  { "bad-utf-8", "<domain type='kvm'><a>\xff</a></domain>", NULL, "well-formed" },
  { "another-root", "<network type='kvm'><a/></network>", NULL, "not a KVM" },
  { "another-hypervisor", "<domain type='lxc'><a/></domain>", NULL, "not a KVM" },
  { "no-type", "<domain><a/></domain>", NULL, "not a KVM" },
  { "a-namespace-on-the-root", "<domain xmlns='urn:x' type='kvm'><a/></domain>", NULL,
    "not a KVM" },
  { "empty-domain", "<domain type='kvm'/>", NULL, "empty" },
  { "someone-elses-use-of-the-id",
    "<domain type='kvm'><qemu:commandline " NS "><qemu:arg value='-device'/>"
    "<qemu:arg value='virtserialport,chardev=pcd-monitor'/></qemu:commandline></domain>",
    NULL, "someone else" },
  { "someone-elses-use-in-json",
    "<domain type='kvm'><qemu:commandline " NS "><qemu:arg value='-device'/>"
    "<qemu:arg value='{&quot;chardev&quot;: "
    "&quot;pcd-monitor&quot;}'/></qemu:commandline></domain>",
    NULL, "someone else" },
  { "another-pty",
    "<domain type='kvm'><qemu:commandline " NS "><qemu:arg value='-serial'/>"
    "<qemu:arg value='pty'/></qemu:commandline></domain>",
    NULL, "another pty" },
  { "an-argument-without-a-value",
    "<domain type='kvm'><qemu:commandline " NS "><qemu:arg/></qemu:commandline></domain>", NULL,
    "no value" },
};

static void
test_case (gconstpointer data)
{
  const Case *c = data;
  g_autoptr (GError) error = NULL;
  g_autofree char *out = pcd_hook_xml_add_monitor (c->in, strlen (c->in), &error);
  g_autofree char *again = NULL;

  g_assert_cmpstr (out, ==, c->out);
  if (!c->doubt)
    g_assert_no_error (error);
  else {
    g_assert_error (error, PCD_HOOK_ERROR, PCD_HOOK_ERROR_DOUBT);
    g_assert_nonnull (strstr (error->message, c->doubt));
  }
  if (!out)
    return;
  again = pcd_hook_xml_add_monitor (out, strlen (out), &error);
  g_assert_no_error (error);
  g_assert_null (again);
}

/* Rule 9, for what nobody thought of: cut short or with a byte changed, the answer is either XML
 * that the hook itself then finds complete, or nothing. */
static void
test_rule_9_damaged (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    for (gsize cut = 0; cut < strlen (cases[i].in); cut++) {
      static const char bytes[] = "<>'\"/&! ]\1\xc3";
      g_autofree char *in = g_strdup (cases[i].in);
      g_autofree char *exact = g_memdup2 (in, cut); /* no terminator: bounds are checked by asan */
      g_autofree char *cut_out = pcd_hook_xml_add_monitor (exact, cut, NULL);
      g_autofree char *out = NULL;

      /* Only white space and comments after its end may be missing from a good domain. */
      if (cut_out)
        g_assert_nonnull (g_strrstr_len (cases[i].in, cut, "</domain>"));
      in[cut] = bytes[cut % (sizeof bytes - 1)];
      out = pcd_hook_xml_add_monitor (in, strlen (in), NULL);
      if (out) {
        g_autoptr (GError) error = NULL;
        g_assert_null (pcd_hook_xml_add_monitor (out, strlen (out), &error));
        g_assert_no_error (error);
      }
    }
}

static void
test_rule_9_huge (void)
{
  g_autoptr (GString) in = g_string_new ("<domain type='kvm'>");
  g_autoptr (GError) error = NULL;
  g_autofree char *out = NULL;

  while (in->len < PCD_HOOK_MAX_XML / 8)
    g_string_append (in, "<a b='c'><d/></a>\n");
  g_string_append (in, "</domain>");
  out = pcd_hook_xml_add_monitor (in->str, in->len, &error);
  g_assert_no_error (error);
  g_assert_nonnull (out);
  g_assert_cmpint (strlen (out) - in->len, ==, strlen (ADDED));

  g_string_set_size (in, PCD_HOOK_MAX_XML + 1);
  g_assert_null (pcd_hook_xml_add_monitor (in->str, in->len, &error));
  g_assert_error (error, PCD_HOOK_ERROR, PCD_HOOK_ERROR_DOUBT);
}

static void
test_rule_9_deep (void)
{
  g_autoptr (GString) in = g_string_new ("<domain type='kvm'>");
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < 100000; i++)
    g_string_append (in, "<a>");
  for (guint i = 0; i < 100000; i++)
    g_string_append (in, "</a>");
  g_string_append (in, "</domain>");
  g_assert_null (pcd_hook_xml_add_monitor (in->str, in->len, &error));
  g_assert_error (error, PCD_HOOK_ERROR, PCD_HOOK_ERROR_DOUBT);
}

static void
test_pick (void)
{
  static const struct {
    guint indices[4];
    gsize n;
    const char *xml;
    int want;
  } picks[] = {
    { { 0 }, 0, NULL, -1 },
    { { 7 }, 1, NULL, 7 },
    { { 7 }, 1, "<source path='/dev/pts/7'/>", -1 },
    { { 7 }, 1, "<source path='/dev/pts/71'/>", 7 },
    { { 7 }, 1, "<source path='/dev/pts/'/>", 7 },
    { { 3, 7 }, 2, NULL, -1 },
    { { 3, 7 }, 2, "<console tty='/dev/pts/3'><source path=\"/dev/pts/3\"/>", 7 },
    { { 7, 3 }, 2, "<console tty='/dev/pts/3'><source path=\"/dev/pts/3\"/>", 7 },
    { { 3, 7, 12 }, 3, "<source path='/dev/pts/12'/>", -1 },
    { { 0, 1, 2 }, 3, "<s path='/dev/pts/2'/><s path='/dev/pts/0'/>", 1 },
  };

  for (guint i = 0; i < G_N_ELEMENTS (picks); i++) {
    g_autoptr (GError) error = NULL;
    int got = pcd_monitor_pick (picks[i].indices, picks[i].n, picks[i].xml, &error);

    g_assert_cmpint (got, ==, picks[i].want);
    g_assert_true ((got < 0) == (error != NULL));
  }
}

static void
test_spans (void)
{
  static const char xml[] = "<a x='>'><b><c/></b><d><e><f/></e></d></a>";
  static const char *const want[] = { "<a x='>'><b><c/></b><d><e><f/></e></d></a>", "<b><c/></b>",
                                      "<c/>", "<d><e><f/></e></d>", "<e><f/></e>" };
  g_autoptr (GArray) spans = pcd_xml_spans (xml, strlen (xml));

  g_assert_cmpint (spans->len, ==, G_N_ELEMENTS (want));
  for (guint i = 0; i < spans->len; i++) {
    PcdXmlSpan *span = &g_array_index (spans, PcdXmlSpan, i);
    g_autofree char *text = g_strndup (xml + span->start, span->end - span->start);
    g_assert_cmpstr (text, ==, want[i]);
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *path = g_strdup_printf ("/hook/xml/%s", cases[i].name);
    g_test_add_data_func (path, &cases[i], test_case);
  }
  g_test_add_func ("/hook/spans", test_spans);
  g_test_add_func ("/hook/rule-9/damaged", test_rule_9_damaged);
  g_test_add_func ("/hook/rule-9/huge", test_rule_9_huge);
  g_test_add_func ("/hook/rule-9/deep", test_rule_9_deep);
  g_test_add_func ("/monitor/pick", test_pick);
  return g_test_run ();
}
