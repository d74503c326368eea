//! Scripts and style sheets without what is there for those who read them.
//!
//! No minifier: it takes away whole lines that are comments, and white space at the beginning of the others. That is a
//! third of what would be sent, and the rest stays as it was written, in as many statements to a line.

/// The same without comments that have lines of their own, and without indentation. A line that begins within a text
/// loses its indentation, too: a test looks that there is none.
pub(super) fn lean(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut in_comment = false;
    for line in text.lines() {
        let mut line = line.trim();
        if in_comment || line.starts_with("/*") {
            let Some((_, rest)) = line.split_once("*/") else {
                in_comment = true;
                continue;
            };
            (in_comment, line) = (false, rest.trim());
        }
        if line.is_empty() || line.starts_with("//") {
            continue;
        }
        kept.push_str(line);
        kept.push('\n');
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_indentation_go_and_everything_else_stays() {
        let text = "// Why.\nimport a from \"https://x\"; // stays\n\n/** What\n *  it is. */\nexport function f() {\n  \
                    /* here */ return a / b;\n  // no\n}\n/* last\nline */";
        assert_eq!(
            lean(text),
            "import a from \"https://x\"; // stays\nexport function f() {\nreturn a / b;\n}\n"
        );
        assert_eq!(lean(".a {\n  color: red;\n}\n"), ".a {\ncolor: red;\n}\n");
    }
}
