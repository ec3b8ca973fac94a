//! What log lines written in Chinese say of their weight: levels in brackets or at the beginning, and words of trouble.

use crate::playbook::line::Level;
use crate::playbook::pattern::Pattern;

/// A level in brackets, or bare behind nothing but a time.
static LEVEL: Pattern = Pattern::new(
    r"[\[【(（<]\s*(严重错误|致命错误|错误|致命|严重|异常|警告|告警|信息|提示|通知|调试)\s*[\]】)）>]|^[\d\s:.,TZ+/\-\[\]]*(严重错误|致命错误|错误|致命|严重|异常|警告|告警|信息|提示|通知|调试)(?:\s|[:：|])",
);
static TROUBLE: Pattern = Pattern::new(
    r"失败|无法|不存在|找不到|未找到|缺少|缺失|被拒绝|拒绝连接|拒绝访问|超时|出错|报错|错误|异常|崩溃|非法|无效|不合法|权限不足|没有权限|无权|未授权|未设置|未配置|不可用|空间不足|内存不足|已满|被占用|损坏|不能为空",
);
/// Words of trouble in sentences that tell of none: counts of zero, settings, what is there for the case of trouble.
static NO_TROUBLE: Pattern = Pattern::new(
    r"(?:无|没有|未发现|未出现)(?:任何)?(?:错误|异常|失败|超时)|(?:错误|异常|失败|超时)(?:个?数|次数|数量|条数|率)?\s*[:：=]?\s*0(?:\.0+)?\s*(?:%|个|次|条|笔)?(?:[^0-9A-Za-z.]|$)|(?:^|\D)0\s*(?:个|次|条|笔)?(?:错误|异常|失败|超时)|超时(?:时间|设置|配置|阈值)|(?:错误|异常)(?:处理|捕获|拦截|页)|失败重试(?:次数|间隔|策略)",
);
/// Words of lines that only say what follows from an error.
static CONSEQUENCE: Pattern = Pattern::new(
    r"(?:服务|进程|程序|系统|应用|即将|正在|准备)(?:退出|停止|关闭|终止|重启)|(?:正在|稍后|将|等待)重试|秒后重试|第\s*\d+\s*次重试|已忽略|已跳过|使用默认",
);

/// The level a line names in Chinese.
#[must_use]
pub fn level(line: &str) -> Option<Level> {
    let found = LEVEL.groups(line)?;
    Some(match found.get(1).or(found.get(2))?.as_str() {
        "警告" | "告警" => Level::Warning,
        "信息" | "提示" | "通知" | "调试" => Level::Calm,
        _ => Level::Error,
    })
}

/// Whether a line has a word of trouble, and means it.
#[must_use]
pub fn tells_of_trouble(line: &str) -> bool {
    TROUBLE.hits(line) && TROUBLE.hits(&NO_TROUBLE.removed_from(line))
}

/// Whether a line only says what follows from an error.
#[must_use]
pub fn is_consequence(line: &str) -> bool {
    CONSEQUENCE.hits(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles() {
        assert!([&LEVEL, &TROUBLE, &NO_TROUBLE, &CONSEQUENCE].iter().all(|pattern| pattern.compiles()));
    }

    #[test]
    fn levels_are_read_in_brackets_and_behind_the_time() {
        for (line, expected) in [
            ("2026-11-26 09:57:00 [错误] 读取配置文件失败", Some(Level::Error)),
            ("2026-11-26 09:57:00.123 错误 数据库 order_v2 不存在", Some(Level::Error)),
            ("【警告】连接池将满", Some(Level::Warning)),
            ("信息：服务启动完成", Some(Level::Calm)),
            ("查询错误 日志时发现", None),
            ("启动失败：缺少必填参数 ORDER_REGION", None),
        ] {
            assert_eq!(level(line), expected, "{line}");
        }
    }

    #[test]
    fn words_of_trouble_count_where_they_are_meant() {
        for line in ["启动失败：缺少必填参数 ORDER_REGION", "连接数据库超时", "配置项 region 不能为空", "失败 10 次"]
        {
            assert!(tells_of_trouble(line), "{line}");
        }
        for line in [
            "同步完成，失败 0 条",
            "巡检完成，未发现异常",
            "错误数：0，成功数：12",
            "请求超时时间 30 秒",
            "服务启动完成",
        ] {
            assert!(!tells_of_trouble(line), "{line}");
        }
    }
}
