//! A Corefile: which server block answers for a name, and what its `hosts` block does to names that it does not list.

/// A block of a Corefile that answers for zones.
#[derive(Debug, Default)]
pub struct ServerBlock {
    zones: Vec<String>,
    plugins: Vec<Plugin>,
}

/// A plugin of a server block: its words, and the lines between its braces.
#[derive(Debug)]
pub struct Plugin {
    words: Vec<String>,
    body: Vec<String>,
}

/// The server blocks of a Corefile (<https://coredns.io/manual/configuration/>). Snippets, which serve nobody, are left out.
#[must_use]
pub fn blocks(text: &str) -> Vec<ServerBlock> {
    let (mut blocks, mut depth) = (Vec::new(), 0_usize);
    let mut block = ServerBlock::default();
    for line in text.lines() {
        let line = without_comment(line);
        let opens = line.ends_with('{');
        let words: Vec<String> = line.trim_end_matches('{').split_whitespace().map(str::to_owned).collect();
        match (depth, line) {
            (_, "") => {}
            (0, _) => block.zones.extend(words.iter().flat_map(|word| word.split(',')).filter_map(zone)),
            (1, "}") => blocks.push(std::mem::take(&mut block)),
            (1, _) => block.plugins.push(Plugin { words, body: Vec::new() }),
            (_, line) => block.plugins.last_mut().into_iter().for_each(|plugin| plugin.body.push(line.to_owned())),
        }
        match line {
            "}" => depth = depth.saturating_sub(1),
            _ if opens => depth += 1,
            _ => {}
        }
    }
    blocks.retain(|block| !block.zones.is_empty());
    blocks
}

/// The block that answers for a name: that of its longest zone.
#[must_use]
pub fn serving<'b>(blocks: &'b [ServerBlock], name: &str) -> Option<&'b ServerBlock> {
    let fits = |block: &ServerBlock| block.zones.iter().filter(|zone| is_below(name, zone)).map(String::len).max();
    blocks.iter().filter_map(|block| Some((fits(block)?, block))).max_by_key(|(length, _)| *length).map(|(_, it)| it)
}

/// The domain of the cluster's own names.
#[must_use]
pub fn domain(blocks: &[ServerBlock]) -> String {
    let own = blocks.iter().flat_map(|block| &block.plugins).filter(|plugin| plugin.is("kubernetes"));
    let zones = own.flat_map(|plugin| plugin.words.iter().skip(1));
    let named = zones.map(|zone| zone.trim_end_matches('.')).find(|zone| !zone.is_empty() && !zone.ends_with(".arpa"));
    named.unwrap_or("cluster.local").to_ascii_lowercase()
}

impl ServerBlock {
    /// A `hosts` block that lets no question for a name pass on: it does not list the name, and nobody after it is asked.
    #[must_use]
    pub fn stopping(&self, name: &str) -> Option<&Plugin> {
        self.plugins.iter().find(|plugin| plugin.is("hosts") && plugin.stops(name))
    }

    /// Whether a plugin is there.
    #[must_use]
    pub fn has(&self, plugin: &str) -> bool {
        self.plugins.iter().any(|known| known.is(plugin))
    }

    /// The zones, as told to people.
    #[must_use]
    pub fn told(&self) -> String {
        self.zones.iter().map(|zone| if zone.is_empty() { "." } else { zone }).collect::<Vec<_>>().join(" ")
    }
}

impl Plugin {
    fn is(&self, name: &str) -> bool {
        self.words.first().is_some_and(|word| word == name)
    }

    fn stops(&self, name: &str) -> bool {
        let zones: Vec<String> = self.words.iter().skip(2).filter_map(|word| zone(word)).collect();
        let concerned = zones.is_empty() || zones.iter().any(|zone| is_below(name, zone));
        concerned && !self.lists(name) && !self.lets_through(name)
    }

    /// Whether its lines give a name an address.
    fn lists(&self, name: &str) -> bool {
        let named = |word: &str| word.trim_end_matches('.').eq_ignore_ascii_case(name);
        self.body.iter().any(|line| line.split_whitespace().skip(1).any(named))
    }

    fn lets_through(&self, name: &str) -> bool {
        self.body.iter().any(|line| {
            let mut words = line.split_whitespace();
            let falls = words.next() == Some("fallthrough");
            let zones: Vec<String> = words.filter_map(zone).collect();
            falls && (zones.is_empty() || zones.iter().any(|zone| is_below(name, zone)))
        })
    }

    /// The file that it takes further names from, where one is named: what stands in it is not known here.
    #[must_use]
    pub fn file(&self) -> Option<&str> {
        self.words.get(1).map(String::as_str)
    }

    /// Its first line, as written.
    #[must_use]
    pub fn head(&self) -> String {
        format!("{} {{", self.words.join(" "))
    }

    /// The first of its lines.
    #[must_use]
    pub fn first(&self) -> Option<&str> {
        self.body.first().map(String::as_str)
    }

    /// All of it on one line.
    #[must_use]
    pub fn whole(&self) -> String {
        format!("{} {} }}", self.head(), self.body.join(" "))
    }
}

/// The zone of a label such as `.:53`, `dns://corp.internal.:53`; the root is empty. Others than DNS itself and what is filled
/// in from the environment are none.
fn zone(label: &str) -> Option<String> {
    let plain = label.strip_prefix("dns://").unwrap_or(label);
    if plain.is_empty() || plain.contains(['(', '{', '/']) {
        return None;
    }
    let port = |rest: &str| !rest.is_empty() && rest.chars().all(|digit| digit.is_ascii_digit());
    let host = plain.rsplit_once(':').filter(|(_, rest)| port(rest)).map_or(plain, |(host, _)| host);
    Some(host.trim_matches('.').to_ascii_lowercase())
}

/// Whether a name lies in a zone.
fn is_below(name: &str, zone: &str) -> bool {
    let rest = name.strip_suffix(zone);
    zone.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn without_comment(line: &str) -> &str {
    let line = line.trim();
    if line.starts_with('#') { "" } else { line.split(" #").next().unwrap_or_default().trim_end() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "(snip) {\n    errors\n}\n.:53 {\n    errors # all of them\n    # hosts {\n    hosts {\n       10.0.0.1 old.corp.internal\n       ttl 60\n    }\n    kubernetes k8s.lan in-addr.arpa {\n       pods insecure\n       fallthrough in-addr.arpa\n    }\n    forward . /etc/resolv.conf\n    reload\n}\ncorp.internal:53 {\n    hosts /etc/coredns/extra corp.internal {\n       fallthrough other.corp.internal\n    }\n}\n";

    fn stops(text: &str, name: &str) -> Option<String> {
        let blocks = blocks(text);
        serving(&blocks, name)?.stopping(name).map(Plugin::head)
    }

    #[test]
    fn a_hosts_block_that_lets_nothing_through_stops_every_name_it_does_not_list() {
        assert_eq!(stops(TEXT, "db.shop.svc.k8s.lan").as_deref(), Some("hosts {"));
        assert_eq!(stops(TEXT, "old.corp.internal.example").as_deref(), Some("hosts {"));
        assert_eq!(domain(&blocks(TEXT)), "k8s.lan");
        let listed = TEXT.replace("old.corp.internal\n", "old.corp.internal db.shop.svc.k8s.lan\n");
        assert_eq!(stops(&listed, "db.shop.svc.k8s.lan"), None);
        let falls = TEXT.replace("ttl 60", "fallthrough");
        assert_eq!(stops(&falls, "db.shop.svc.k8s.lan"), None);
        let elsewhere = TEXT.replace("ttl 60", "fallthrough in-addr.arpa");
        assert!(stops(&elsewhere, "db.shop.svc.k8s.lan").is_some());
        let of_zone = TEXT.replace("    hosts {\n", "    hosts /etc/hosts corp.example {\n");
        assert_eq!(stops(&of_zone, "db.shop.svc.k8s.lan"), None);
    }

    #[test]
    fn the_longest_zone_answers() {
        assert_eq!(stops(TEXT, "x.corp.internal").as_deref(), Some("hosts /etc/coredns/extra corp.internal {"));
        assert_eq!(stops(TEXT, "x.other.corp.internal"), None);
        let blocks = blocks(TEXT);
        assert_eq!(blocks.iter().map(ServerBlock::told).collect::<Vec<_>>(), [".", "corp.internal"]);
        assert!(blocks[0].has("reload") && !blocks[1].has("reload"));
        assert!(serving(&blocks[1..], "db.shop.svc.k8s.lan").is_none());
    }
}
