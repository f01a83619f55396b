//! A Python package index: where a file of a project lies (PEP 503 in HTML, PEP 691 in JSON).

use crate::download::Client;
use crate::error::PullError;
use serde::Deserialize;

#[derive(Deserialize)]
struct Project {
    files: Vec<Link>,
}

#[derive(Deserialize)]
struct Link {
    filename: String,
    url: String,
}

/// Asks an index for the URL of one file of a project.
///
/// # Errors
/// [`PullError::Unreachable`], or [`PullError::Answer`] if the index has no such file.
pub(crate) fn locate(client: &Client, index: &str, project: &str, file: &str) -> Result<String, PullError> {
    let page = format!("{}/{project}/", index.trim_end_matches('/'));
    let accept = "application/vnd.pypi.simple.v1+json, text/html;q=0.5".to_owned();
    let mut response = client.ask(false, &page, &[("accept", accept)], true)?;
    let answer = |reason: String| PullError::Answer {
        what: format!("package {project}"),
        reason,
    };
    if !response.status().is_success() {
        return Err(answer(format!(
            "the index answers with status {}",
            response.status().as_u16()
        )));
    }
    let json = response
        .body()
        .mime_type()
        .is_some_and(|kind| kind.ends_with("json"));
    let text = response
        .body_mut()
        .read_to_string()
        .map_err(|error| answer(error.to_string()))?;
    let found = if json {
        let project: Project = serde_json::from_str(&text).map_err(|error| answer(error.to_string()))?;
        project
            .files
            .into_iter()
            .find(|link| link.filename == file)
            .map(|link| link.url)
    } else {
        anchor(&text, file)
    };
    let url = found.ok_or_else(|| answer(format!("the index has no {file}")))?;
    Ok(join(&page, url.split('#').next().unwrap_or(&url)))
}

/// The target of the page's link to `file`. Index pages are flat lists of anchors, so no HTML parser is needed.
fn anchor(page: &str, file: &str) -> Option<String> {
    page.split("href=").skip(1).find_map(|rest| {
        let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let url = rest[1..].split(quote).next()?.replace("&amp;", "&");
        let path = url.split(['#', '?']).next()?;
        (path.rsplit('/').next()? == file).then_some(url)
    })
}

/// Resolves a link of a page that ends with `/` (RFC 3986 §5, without queries).
fn join(page: &str, link: &str) -> String {
    if link.contains("://") {
        return link.to_owned();
    }
    let scheme = page.find("://").map_or(0, |at| at + 3);
    let authority = page[scheme..].find('/').map_or(page.len(), |at| scheme + at);
    if let Some(rest) = link.strip_prefix("//") {
        return format!("{}{rest}", &page[..scheme]);
    }
    let mut path: Vec<&str> = if link.starts_with('/') {
        Vec::new()
    } else {
        page[authority..]
            .split('/')
            .filter(|part| !part.is_empty())
            .collect()
    };
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                path.pop();
            }
            part => path.push(part),
        }
    }
    format!("{}/{}", &page[..authority], path.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolves_links_of_a_page() {
        let page = "https://host:8080/root/simple/p/";
        let cases = [
            ("https://files/p.whl", "https://files/p.whl"),
            ("//files/p.whl", "https://files/p.whl"),
            ("/p.whl", "https://host:8080/p.whl"),
            ("p.whl", "https://host:8080/root/simple/p/p.whl"),
            ("../../packages/p.whl", "https://host:8080/root/packages/p.whl"),
            ("../../../../../p.whl", "https://host:8080/p.whl"),
        ];
        for (link, expected) in cases {
            assert_eq!(join(page, link), expected, "{link}");
        }
    }

    #[test]
    fn finds_a_file_among_anchors() {
        let page = r#"<a href="../a-1.whl#sha256=ff">a</a> <a href='b-1.whl?x=1&amp;y=2#z'>b</a> <a href=c-1.whl>c</a>"#;
        assert_eq!(anchor(page, "a-1.whl").as_deref(), Some("../a-1.whl#sha256=ff"));
        assert_eq!(anchor(page, "b-1.whl").as_deref(), Some("b-1.whl?x=1&y=2#z"));
        assert_eq!(anchor(page, "c-1.whl"), None);
        assert_eq!(anchor("", "a-1.whl"), None);
    }
}
