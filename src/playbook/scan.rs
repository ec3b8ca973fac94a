//! Scans: requests for what only those ask for who look for holes. That it is not there is as it should be, whatever level a
//! server gives it.

use crate::playbook::pattern::Pattern;

/// What scanners ask for of every address they find: consoles and shells of PHP, files that should never be served.
static SOUGHT: Pattern = Pattern::new(
    r#"(?i)["/](?:wp-(?:login|admin|content|includes|config|json/wp)\b|xmlrpc\.php|phpmyadmin\b|phpinfo|pma/|adminer\b|\.env\b|\.git/|\.svn/|\.aws/|\.ssh/|\.vscode/|\.DS_Store|vendor/phpunit|[\w/-]*eval-stdin\.php|cgi-bin/|boaform/|hnap1|gponform|owa/auth|autodiscover/|solr/admin|actuator/gateway|_ignition/|manager/html|server-status|geoserver/|shell\.php|telescope/requests|\.well-known/security\.txt|debug/default/view|containers/json|druid/index|nacos/v1)"#,
);
/// That it was not there, or not given.
static TURNED_AWAY: Pattern = Pattern::new(
    r#"\(2: No such file or directory\)|\bis (?:not found|forbidden)\b|access forbidden by rule|" 40[0-5] |\bstatus["=: ]+40[0-5]\b|\b404\b|No static resource|NoHandlerFound|RoutingError|NotFoundHttpException"#,
);

/// Whether a line tells of a scanner that was turned away.
#[must_use]
pub fn is_turned_away(line: &str) -> bool {
    TURNED_AWAY.hits(line) && SOUGHT.hits(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::playbook::logs::is_error;

    const SCAN: &str = r#"2026/11/29 20:04:31 [error] 29#29: *88329 open() "/usr/share/nginx/html/wp-login.php" failed (2: No such file or directory), client: 10.244.1.9, server: _, request: "GET /wp-login.php HTTP/1.1", host: "news.corp.example""#;

    #[test]
    fn every_pattern_compiles() {
        assert!(SOUGHT.compiles() && TURNED_AWAY.compiles());
    }

    #[test]
    fn what_scanners_ask_for_in_vain_is_no_error() {
        assert!(is_turned_away(SCAN) && !is_error(SCAN));
        assert!(is_turned_away(r#"ERROR ActionController::RoutingError (No route matches [GET] "/.env")"#));
    }

    #[test]
    fn a_file_of_its_own_that_is_missing_is_one() {
        let own = SCAN.replace("wp-login.php", "assets/app.js");
        assert!(!is_turned_away(&own) && is_error(&own));
        let given = r#"10.0.0.9 - - [29/Nov/2026:20:04:31 +0000] "GET /.env HTTP/1.1" 200 153"#;
        assert!(!is_turned_away(given), "it was served");
        let read = "ERROR open /app/.env: permission denied";
        assert!(!is_turned_away(read));
    }
}
