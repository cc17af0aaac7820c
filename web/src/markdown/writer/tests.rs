use std::time::{Duration, Instant};

use super::*;

/// A text of the largest size that a response may have.
const LARGEST: usize = 256 * 1024;
/// Far more than the slowest machine of these tests needs for what takes time in proportion to its
/// length, and far less than what takes its square would need.
const SOON: Duration = Duration::from_secs(10);

fn html(text: &str) -> String {
    formatted(text, 3).map(Markup::into_string).unwrap_or_default()
}

#[test]
fn what_agents_write_most_is_shown_as_they_mean_it() {
    let cases = [
        ("# One\n## Two", "<h3>One</h3><h4>Two</h4>"),
        ("- a\n- **b**", "<ul><li>a</li><li><strong>b</strong></li></ul>"),
        ("3. a\n4. b", "<ol start=\"3\"><li>a</li><li>b</li></ol>"),
        ("use `a < b`", "<p>use <code>a &lt; b</code></p>"),
        ("```rust\nlet a = 1;\n```", "<pre tabindex=\"0\"><code>let a = 1;\n</code></pre>"),
        ("*a* ~~b~~\nc", "<p><em>a</em> <del>b</del>\nc</p>"),
        ("> so\n\n---", "<blockquote><p>so</p></blockquote><hr>"),
        ("- [x] done\n- [ ] not", "<ul><li>☑ done</li><li>☐ not</li></ul>"),
    ];
    for (text, shown) in cases {
        assert_eq!(html(text), shown, "{text}");
    }
}

#[test]
fn a_table_has_heads_where_they_have_words_and_can_be_scrolled() {
    let table = html("| | n |\n|---|--:|\n| a | 1 |");
    let shown = "<div class=\"wide\" tabindex=\"0\"><table><thead><tr><td></td>\
        <th scope=\"col\" class=\"is-right\">n</th></tr></thead>\
        <tr><td>a</td><td class=\"is-right\">1</td></tr></table></div>";
    assert_eq!(table, shown);
}

#[test]
fn a_text_without_form_is_left_as_it_is() {
    for text in ["", "Hello", "one\n\ntwo\nthree", "<b>no</b>", "2 * 3 * 4", "a_b_c", "&lt;"] {
        let shown = formatted(text, 3).map(Markup::into_string);
        assert!(shown.is_none(), "{text}: {shown:?}");
    }
}

#[test]
fn headings_are_never_deeper_than_one_below_what_was_before() {
    assert_eq!(html("##### Deep\n# High\n### Deep"), "<h3>Deep</h3><h3>High</h3><h4>Deep</h4>");
    assert_eq!(html("#\n\n- a"), "<ul><li>a</li></ul>");
}

#[test]
fn nothing_of_a_text_is_markup_or_leads_to_what_is_no_web() {
    let hostile = [
        "**x** <script>alert(1)</script>",
        "**x** <img src=x onerror=alert(1)>",
        "<div onclick=alert(1)>\n\n**x**\n</div>",
        "[a](javascript:alert(1))",
        "[a](JaVaScRiPt:alert(1))",
        "[a](&#106;avascript:alert(1))",
        "[a](java\tscript:alert(1))",
        "[a](data:text/html;base64,PHNjcmlwdD4=)",
        "[a](vbscript:x) [b](//evil.example) [c](/api/sign-out) [d](\\\\evil)",
        "<javascript:alert(1)>",
        "![a](javascript:alert(1))",
        "[a]: javascript:alert(1)\n\n[a]",
        "[a](file:///etc/passwd)",
        "```\n</code></pre><script>alert(1)</script>\n```",
        "`</code><script>`",
        "| <script> | b |\n|---|---|\n| </td><svg onload=alert(1)> | c |",
    ];
    for text in hostile {
        let shown = html(text);
        for never in ["<script", "<img", "<svg", "<div on", "href="] {
            assert!(!shown.contains(never), "{text} is {shown}");
        }
    }
}

#[test]
fn a_link_can_not_leave_its_attribute_and_does_not_hand_over_the_page() {
    let shown = html("[a](https://x.example/?a=1&b=\"%22'><script>)");
    assert!(!shown.contains("<script"), "{shown}");
    let shown = html("[a](<https://x.example/\"onmouseover=\"alert(1)>)");
    assert!(
        shown.contains("href=\"https://x.example/&quot;onmouseover=&quot;alert(1)\""),
        "{shown}"
    );
    assert!(
        shown.contains("rel=\"noopener noreferrer nofollow\" target=\"_blank\">a</a>"),
        "{shown}"
    );
    assert_eq!(html("[src](src/main.rs)"), "<p>src <span class=\"quiet\">(src/main.rs)</span></p>");
}

#[test]
fn an_image_is_a_link_to_it_and_is_never_fetched() {
    let shown =
        html("![A cat](https://x.example/cat.png) and [![](http://a.example/)](http://b.example/)");
    assert!(!shown.contains("<img"), "{shown}");
    assert!(shown.contains("href=\"https://x.example/cat.png\"") && shown.contains(">A cat</a>"));
    assert_eq!(shown.matches("<a ").count(), 2, "no link within a link: {shown}");
}

#[test]
fn what_can_not_be_seen_is_shown_also_where_it_is_written_as_a_number() {
    let shown = html("**a** &#x202E;b [c](https://x.example/&#x202E;)");
    assert!(!shown.contains('\u{202e}') && shown.contains("‹U+202E›"), "{shown}");
}

#[test]
fn bombs_take_no_time_no_depth_and_no_room() {
    let rows = "|a".repeat(LARGEST / 8)
        + "|\n"
        + &"|-".repeat(LARGEST / 8)
        + "|\n"
        + &"|\n".repeat(LARGEST / 4);
    let reference = format!(
        "[a]: https://x.example/{}\n\n{}",
        "x".repeat(LARGEST / 2),
        "[a] ".repeat(LARGEST / 8)
    );
    let repeated = |text: &str| text.repeat(LARGEST / text.len());
    let lists: Vec<_> = (0..700).map(|depth| "  ".repeat(depth % 180) + "- a\n").collect();
    let bombs = [
        repeated("["),
        repeated("]"),
        repeated("[a]("),
        repeated("!["),
        repeated("[]("),
        repeated("*"),
        repeated("*a **b "),
        repeated("_a*"),
        repeated("> "),
        repeated(">"),
        repeated("- "),
        repeated("1. "),
        repeated("`"),
        repeated("`a``b"),
        repeated("<"),
        repeated("<!--"),
        repeated("<a href='"),
        repeated("<?"),
        repeated("&"),
        repeated("&#x"),
        repeated("\\"),
        repeated("|"),
        repeated("a|"),
        repeated("#"),
        repeated("# a\n"),
        repeated("- a\n"),
        repeated("~~~"),
        repeated("~~a"),
        repeated("[a]: b\n"),
        repeated("\n> - "),
        repeated("*a"),
        repeated("**a *b"),
        repeated("\u{7}"),
        repeated("http://"),
        rows,
        reference,
        lists.concat(),
        format!("{}{}", "[".repeat(LARGEST / 2), "](a)".repeat(LARGEST / 8)),
    ];
    for bomb in bombs {
        let begun = Instant::now();
        let shown = html(&bomb);
        let name: String = bomb.chars().take(20).collect();
        assert!(begun.elapsed() < SOON, "{name:?} takes {:?}", begun.elapsed());
        assert!(shown.len() <= HTML_MAX_BYTES + LARGEST * 8, "{name:?} is {} bytes", shown.len());
        let depth = shown.split('<').fold((0_usize, 0_usize), |(depth, most), element| {
            let closes = element.starts_with('/');
            let is_void = element.starts_with("hr") || element.is_empty();
            let depth =
                if closes { depth.saturating_sub(1) } else { depth + usize::from(!is_void) };
            (depth, most.max(depth))
        });
        assert!(depth.1 < 2 * NESTED_MAX + 16, "{name:?} is nested {} deep", depth.1);
    }
}
