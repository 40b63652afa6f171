//! The words of the pages, in both languages.

use linkgate_contract::Language;

macro_rules! words {
    ($($word:ident => $zh:literal, $en:literal;)*) => {
        /// A word or a sentence of a page.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Word {
            $($word,)*
        }

        impl Word {
            #[cfg(test)]
            const ALL: &[Self] = &[$(Self::$word),*];

            /// It, as the reader reads it.
            pub(crate) fn text(self, language: Language) -> &'static str {
                let (zh, en) = match self {
                    $(Self::$word => ($zh, $en),)*
                };
                match language {
                    Language::Chinese => zh,
                    Language::English => en,
                }
            }
        }
    };
}

words! {
    Action => "操作", "Action";
    All => "全部", "All";
    AllowOverwrite => "允许覆盖同名版本", "Overwrite the version if it exists";
    Application => "应用", "Application";
    ArchiveMembers => "包内文件", "Members";
    AskThem => "如需权限，请联系", "Ask for permission:";
    Attempts => "尝试次数", "Attempts";
    Back => "返回", "Back";
    Cancel => "取消", "Cancel";
    CancelUpload => "取消上传", "Cancel the upload";
    Cleanup => "清理", "Clean-up";
    CleanupNothing => "没有需要清理的源码包。", "Nothing would be deleted.";
    CleanupNoRule => "该模块没有清理规则。", "No retention rule is for this module.";
    CleanupRun => "按此计划删除", "Delete exactly these";
    CleanupSure => "将删除计划中的全部源码包，期限内可以恢复。", "Every package of the plan is deleted. It can be restored for a while.";
    Copied => "已复制", "Copied";
    Copy => "复制", "Copy";
    Created => "创建时间", "Created";
    Delete => "删除", "Delete";
    DeleteSure => "删除后期限内可以恢复。", "It can be restored for a while.";
    Deleted => "已删除", "Deleted";
    DeletedAt => "删除时间", "Deleted at";
    Details => "详情", "Details";
    Digest => "SHA-256", "SHA-256";
    Download => "下载", "Download";
    Drop => "把文件拖到这里，或选择文件", "Drop a file here, or choose one";
    Ended => "结束时间", "Ended";
    Entries => "文件数", "Members";
    Events => "事件", "Events";
    ExpiresIn => "有效期", "Good for";
    File => "文件", "File";
    Format => "格式", "Format";
    From => "来源", "Source";
    Home => "模块", "Modules";
    HowItEnded => "结果", "Outcome";
    Hour => "1 小时", "1 hour";
    Day => "24 小时", "24 hours";
    InMegabytes => "大小（MB）", "Size (MB)";
    Jobs => "上传任务", "Uploads";
    Kept => "保留", "Kept";
    KeepLast => "属于最近的若干个", "among the newest";
    KeepVersions => "版本受规则保护", "version kept by the rule";
    OtherLanguage => "English", "中文";
    Link => "下载地址", "Link";
    Live => "正常", "Live";
    LoadFailed => "请求失败", "The request failed";
    Mode => "模式", "Mode";
    ModeEnforce => "每天自动执行", "runs by itself each day";
    ModeReport => "仅报告", "only reported";
    Module => "模块", "Module";
    More => "更多", "More";
    NeedsScript => "此操作需要启用 JavaScript。", "This needs JavaScript.";
    NextPage => "下一页", "Next";
    NoEvents => "还没有事件。", "No events yet.";
    NoJobs => "没有上传任务。", "No uploads.";
    NoMembers => "该包不是归档文件，或没有文件。", "The file is no archive, or has no members.";
    NoModules => "没有可以查看的模块。", "There is no module that you may see.";
    NoModulesHelp => "您已登录，但没有任何模块的查看权限，或尚未上传过源码包。", "You are signed in, but no grant lets you read any module, or none has packages yet.";
    NoPackages => "没有源码包。", "No packages.";
    NotFound => "没有这个页面，或者您看不到它。", "There is no such page, or none that you may see.";
    Operator => "操作人", "Operator";
    Package => "源码包", "Package";
    PackageName => "文件名", "Package name";
    Packages => "源码包", "Packages";
    Path => "路径", "Path";
    Permanent => "长期", "without end";
    Pin => "锁定", "Pin";
    Pinned => "已锁定", "Pinned";
    PinName => "锁定名称", "Name of the pin";
    Pins => "锁定", "Pins";
    PinWhy => "被锁定的源码包不会被删除或清理。", "A pinned package is neither deleted nor cleaned up.";
    PreviousPage => "上一页", "Previous";
    Progress => "进度", "Progress";
    PurgeAfter => "可恢复至", "Can be restored until";
    Purged => "已清除", "Purged";
    Reason => "原因", "Reason";
    Received => "已接收", "Received";
    RemoveAfterDays => "未到期限", "not old enough";
    RemoveVersions => "版本不在规则范围内", "version not meant by the rule";
    RequestId => "请求 ID", "Request id";
    Restore => "恢复", "Restore";
    Rule => "规则", "Rule";
    Search => "搜索", "Search";
    SearchHint => "版本、文件名或大小", "Version, name or size";
    ShaOptional => "SHA-256（可选）", "SHA-256 (optional)";
    SignedUrl => "临时下载地址", "Signed URL";
    SignedUrlMake => "生成临时下载地址", "Make a signed URL";
    SignedUrlWhy => "持有该地址的人无需登录即可下载。", "Whoever has it downloads the package without signing in.";
    Size => "大小", "Size";
    Skip => "跳到正文", "Skip to content";
    Started => "开始时间", "Started";
    State => "状态", "State";
    StateCancelled => "已取消", "cancelled";
    StateDone => "完成", "done";
    StateFailed => "失败", "failed";
    StateFetching => "下载中", "downloading";
    StateQueued => "排队中", "waiting";
    StateStoring => "保存中", "storing";
    Statement => "来源声明", "Statement";
    StatementAbsent => "没有来源声明。", "There is no statement.";
    StatementBad => "声明的签名无效！", "The statement's signature is not valid!";
    StatementGood => "签名已验证", "signature verified";
    StatementOther => "由其他密钥签名，未在此验证", "signed with another key, not verified here";
    Time => "时间", "Time";
    Truncated => "文件过多，仅显示一部分。", "Only the first members are shown.";
    UnpackedSize => "解压后大小", "Unpacked";
    Unpin => "解除锁定", "Unpin";
    Until => "截止", "Until";
    Updated => "更新时间", "Updated";
    Upload => "上传", "Upload";
    UploadByFile => "上传文件", "Upload a file";
    UploadByLink => "通过链接上传", "Upload by link";
    Usage => "用量", "Usage";
    UsageDeleted => "已删除、尚未清除", "Deleted, not purged yet";
    User => "用户", "User";
    Version => "版本", "Version";
    WhatToDo => "怎么办", "What to do";
    WouldDelete => "将被删除", "Would be deleted";
    HintAbandoned => "请联系运维查看存储服务日志，确认后再重新上传。", "Tell the operators: their log says why the store ended. Then upload again.";
    HintAgain => "请稍后重新上传。", "Upload again in a moment.";
    HintOverwrite => "请使用新的版本号，或勾选“允许覆盖”。", "Use another version, or allow to overwrite.";
    HintPackage => "请按原因修正源码包后重新上传。", "Mend the package as the reason says, and upload it again.";
    HintQuota => "请删除不需要的源码包，或联系运维提高配额。", "Delete packages that nobody needs, or ask the operators for a larger quota.";
    HintSource => "请确认下载地址可以访问、未过期，然后重新上传。", "Check that the link can be read and has not expired, then upload again.";
    HintStorage => "请联系运维检查存储空间与对象存储。", "Tell the operators: the storage needs them.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_there_in_both_languages() {
        for word in Word::ALL {
            let (zh, en) = (word.text(Language::Chinese), word.text(Language::English));
            assert!(!zh.trim().is_empty() && !en.trim().is_empty(), "{word:?}");
            assert!(en.is_ascii() || *word == Word::OtherLanguage, "{word:?}: {en}");
        }
    }
}
