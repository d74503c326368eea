//! How a server proves that it is the one, as the parameters of a URL say.

use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::OpenError;

/// The parameters that begin with `ssl`.
#[derive(Default)]
pub(super) struct Tls {
    mode: Option<PgSslMode>,
    root: Option<String>,
    certificate: Option<String>,
    key: Option<String>,
    /// What Prisma calls `sslaccept`: whether the certificate is looked at.
    strict: Option<bool>,
}

impl Tls {
    /// Reads one of them.
    pub(super) fn read(&mut self, name: &str, value: String) -> Result<(), OpenError> {
        match name {
            "sslmode" => {
                let problem = "must be disable, allow, prefer, require, verify-ca or verify-full";
                let wrong = OpenError::Parameter { name: "sslmode", problem };
                self.mode = Some(value.parse().map_err(|_| wrong)?);
            }
            "sslrootcert" => self.root = Some(value),
            "sslcert" => self.certificate = Some(value),
            "sslkey" => self.key = Some(value),
            _ => {
                self.strict = Some(match value.as_str() {
                    "strict" => true,
                    "accept_invalid_certs" => false,
                    _ => {
                        let problem = "must be strict or accept_invalid_certs";
                        return Err(OpenError::Parameter { name: "sslaccept", problem });
                    }
                });
            }
        }
        Ok(())
    }

    /// Puts them into effect.
    pub(super) fn apply(self, mut connect: PgConnectOptions) -> PgConnectOptions {
        // libpq means the client's own certificate, which is of no use without its key; Prisma the server's.
        let root = match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => {
                connect = connect.ssl_client_cert(certificate).ssl_client_key(key);
                self.root
            }
            _ => self.root.or(self.certificate),
        };
        let has_root = root.is_some();
        if let Some(root) = root {
            connect = connect.ssl_root_cert(root);
        }
        let mode = match (self.mode, self.strict) {
            (None | Some(PgSslMode::Prefer | PgSslMode::Require), Some(true)) => Some(PgSslMode::VerifyFull),
            // Whoever says whom to trust does not want just anybody; so does libpq.
            (Some(PgSslMode::Require), None) if has_root => Some(PgSslMode::VerifyCa),
            (mode, _) => mode,
        };
        match mode {
            Some(mode) => connect.ssl_mode(mode),
            None => connect,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::url::parse;

    #[test]
    fn how_the_server_proves_itself_is_as_strict_as_was_asked() {
        for (query, expected) in [
            ("sslmode=disable", "Disable"),
            ("sslmode=require", "Require"),
            ("sslmode=require&sslrootcert=/ca.pem", "VerifyCa"),
            ("sslmode=require&sslcert=/ca.pem", "VerifyCa"),
            ("sslmode=require&sslcert=/ca.pem&sslaccept=accept_invalid_certs", "Require"),
            ("sslmode=require&sslcert=/me.pem&sslkey=/me.key", "Require"),
            ("sslmode=require&sslaccept=strict", "VerifyFull"),
            ("sslmode=verify-full&sslrootcert=/ca.pem", "VerifyFull"),
        ] {
            let connect = parse(&format!("postgresql://chat@db/chat?{query}")).unwrap().connect;
            assert_eq!(format!("{:?}", connect.get_ssl_mode()), expected, "{query}");
        }
    }
}
