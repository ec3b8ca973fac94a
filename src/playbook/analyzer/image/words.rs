//! What each reason of a failing pull is called, and what to do about it.

use super::Why;
use crate::alert::ObjectRef;
use crate::playbook::scene::Scene;

/// The code and the cause in the reader's language.
pub(super) fn in_words(scene: &Scene<'_>, why: Why, image: &str, secret: Option<&ObjectRef>) -> (&'static str, String) {
    if let Some(secret) = secret {
        return (
            "image_pull_secret_missing",
            scene.text(
                format!("拉取镜像 {image} 所需的 imagePullSecret {} 不存在（not found）", secret.name),
                format!("imagePullSecret {} for image {image} does not exist (not found)", secret.name),
            ),
        );
    }
    let (code, zh, en) = match why {
        Why::NotFound => {
            ("image_not_found", "在镜像仓库中不存在（not found）", "does not exist in its registry (not found)")
        }
        Why::Denied => (
            "image_pull_unauthorized",
            "拉取被拒绝：没有权限或凭据无效（unauthorized）",
            "may not be pulled: the registry refuses access (unauthorized)",
        ),
        Why::Hidden => (
            "image_missing_or_private",
            "拉不到：仓库中不存在（not found），或是私有仓库而没有凭据（仓库不区分这两种情况）",
            "cannot be pulled: its repository does not exist (not found) or is private and no credentials were given; the registry does not say which",
        ),
        Why::Untrusted => (
            "image_registry_tls_failed",
            "无法拉取：节点不信任镜像仓库的证书，或仓库只提供 HTTP（TLS）",
            "cannot be pulled: the Node does not trust the registry's certificate, or the registry speaks plain HTTP (TLS)",
        ),
        Why::Unsigned => (
            "image_signature_invalid",
            "未通过签名校验，节点拒绝使用",
            "failed its signature check, so the Node refuses it",
        ),
        Why::RateLimited => (
            "image_pull_rate_limited",
            "拉取被镜像仓库限流（toomanyrequests）",
            "is not served: the registry's pull rate limit is reached (toomanyrequests)",
        ),
        Why::Failing => (
            "image_registry_failing",
            "无法拉取：镜像仓库自身返回服务端错误（5xx），镜像名与凭据未必有问题",
            "cannot be pulled: the registry itself answers with a server error (5xx); name and credentials may be right",
        ),
        Why::Unreachable => (
            "image_registry_unreachable",
            "无法拉取：节点连不上镜像仓库",
            "cannot be pulled: the Node does not reach its registry",
        ),
        Why::NoPlatform => (
            "image_platform_mismatch",
            "没有适用于该节点 CPU 架构的版本",
            "has no variant for the Node's CPU architecture",
        ),
        Why::NoSpace => (
            "image_pull_no_space",
            "无法拉取：节点磁盘已满（no space left）",
            "cannot be pulled: the Node's disk is full (no space left)",
        ),
        Why::InvalidName => {
            ("image_name_invalid", "名称格式不合法（InvalidImageName）", "is no valid image name (InvalidImageName)")
        }
        Why::NeverPulled => (
            "image_never_pulled",
            "不在节点上，而 imagePullPolicy 为 Never",
            "is not on the Node and imagePullPolicy is Never",
        ),
        Why::Unknown => ("image_pull_failed", "拉取失败", "cannot be pulled"),
    };
    (code, scene.text(format!("镜像 {image} {zh}"), format!("image {image} {en}")))
}

/// What to do, and a detail that names the image as it stands.
pub(super) fn advice(scene: &Scene<'_>, why: Why, image: &str) -> (String, String) {
    let (title_zh, title_en, zh, en) = match why {
        Why::NotFound => (
            "改用存在的 tag，或把该镜像推送到仓库",
            "Use a tag that exists, or push this image",
            "核对仓库地址、镜像名与 tag",
            "Check registry, name and tag",
        ),
        Why::Denied => (
            "为工作负载配置有效的 imagePullSecrets",
            "Give the workload a valid imagePullSecret",
            "确认仓库账号有该镜像的拉取权限且未过期",
            "Make sure the account may pull this image and has not expired",
        ),
        Why::Hidden => (
            "核对镜像名；若仓库是私有的，为工作负载配置 imagePullSecrets",
            "Check the image's name; if its repository is private, give the workload an imagePullSecret",
            "先确认镜像是否存在",
            "First see whether it exists",
        ),
        Why::Untrusted => (
            "在节点上信任仓库的 CA 证书，或更换仓库已过期的证书",
            "Make the Nodes trust the registry's CA, or renew the registry's certificate",
            "仅提供 HTTP 的仓库要在容器运行时中显式配置",
            "A registry of plain HTTP has to be configured in the container runtime",
        ),
        Why::Unsigned => {
            ("为镜像签名，或核对节点的签名策略", "Sign the image, or check the Nodes' signature policy", "", "")
        }
        Why::RateLimited => (
            "使用已认证的账号或镜像缓存拉取",
            "Pull with an account or through a mirror",
            "匿名拉取有次数限制，稍后会自动重试",
            "Anonymous pulls are limited; it tries again by itself",
        ),
        Why::Failing => (
            "检查镜像仓库（如 Harbor）及其存储、数据库的状态",
            "Look at the registry (Harbor, for one) and at its storage and database",
            "恢复后会自动重试",
            "It tries again by itself",
        ),
        Why::Unreachable => (
            "检查节点到镜像仓库的网络、DNS 与证书",
            "Check network, DNS and certificates from the Node to the registry",
            "恢复后会自动重试",
            "It tries again by itself",
        ),
        Why::NoPlatform => (
            "构建多架构镜像，或把 Pod 调度到匹配架构的节点",
            "Build the image for this architecture, or place the Pod on a fitting Node",
            "",
            "",
        ),
        Why::NoSpace => ("清理节点磁盘", "Free disk space on the Node", "", ""),
        Why::InvalidName => ("修正工作负载中的镜像名", "Correct the image name in the workload", "", ""),
        Why::NeverPulled => (
            "把 imagePullPolicy 改为 IfNotPresent，或在节点上预置镜像",
            "Set imagePullPolicy to IfNotPresent, or load the image on the Node",
            "",
            "",
        ),
        Why::Unknown => ("按报错修正镜像或仓库配置", "Correct the image or registry as the error says", "", ""),
    };
    let detail = scene.text(format!("{zh}（当前：{image}）"), format!("{en} (now: {image})"));
    (scene.text(title_zh, title_en), if zh.is_empty() { String::new() } else { detail })
}
