//! `/glossary`: the words of the pages, from the document for learners.

use pulldown_cmark::{Options, Parser, html};

const LEARN: &str = include_str!("../../../docs/LEARN.md");
const HEADING: &str = "## Glossary\n";
const START: &str = "<title>Glossary</title>
</head>
<body class=\"glossary-page\">
<header class=\"page-head\">
  <nav aria-label=\"Pages\"><a class=\"back\" href=\"/\">All traces</a></nav>
  <h1>Glossary</h1>
</header>
<main>
<div class=\"table\" tabindex=\"0\" role=\"region\" aria-label=\"Words and their meaning\">
";
const END: &str = "</div>\n</main>\n</body>\n</html>\n";

/// The page, after the head that all pages share.
pub(crate) fn page(head: &str) -> String {
    let glossary = LEARN.split_once(HEADING).map_or("", |(_, glossary)| glossary);
    let mut page = format!("{head}{START}");
    html::push_html(&mut page, Parser::new_ext(glossary, Options::ENABLE_TABLES));
    page + END
}
