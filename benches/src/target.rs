//! Where the server is.

use tokio::net::TcpStream;

use crate::Result;

/// The address of a server that speaks plain HTTP.
#[derive(Debug, Clone)]
pub struct Target {
    /// `host:port`, as in the `Host` header.
    pub authority: String,
    /// What comes before every path, without a slash at its end; mostly empty.
    pub prefix: String,
}

impl Target {
    /// Takes an address like `http://127.0.0.1:3000` apart.
    ///
    /// # Errors
    ///
    /// When it is not plain HTTP.
    pub fn parse(base_url: &str) -> Result<Self, String> {
        let rest = base_url.strip_prefix("http://").ok_or("must begin with http://")?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let authority =
            if authority.contains(':') { authority.to_owned() } else { format!("{authority}:80") };
        let prefix = if path.is_empty() { String::new() } else { format!("/{}", path.trim_end_matches('/')) };
        Ok(Self { authority, prefix })
    }

    /// Opens a connection.
    ///
    /// # Errors
    ///
    /// When nobody listens there.
    pub async fn connect(&self) -> Result<TcpStream> {
        let stream = TcpStream::connect(&self.authority).await;
        let stream = stream.map_err(|error| format!("cannot connect to {}: {error}", self.authority))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}
