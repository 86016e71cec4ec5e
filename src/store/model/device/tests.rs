//! What browsers, applications, robots and things send, and what somebody who reads the row would call them.

use proptest::prelude::*;

use super::Device;

mod unclear;

const MOBILE: Option<Device> = Some(Device::Mobile);
const TABLET: Option<Device> = Some(Device::Tablet);
const DESKTOP: Option<Device> = Some(Device::Desktop);

/// Each user agent has that class; `{webkit}` and `{ios}` stand for what nearly all of them have.
#[track_caller]
fn all(expected: Option<Device>, user_agents: &[&str]) {
    let wrong: Vec<String> = user_agents
        .iter()
        .map(|text| {
            text.replace("{webkit}", "AppleWebKit/537.36 (KHTML, like Gecko)")
                .replace("{ios}", "AppleWebKit/605.1.15 (KHTML, like Gecko)")
        })
        .filter(|text| Device::of_user_agent(text) != expected)
        .map(|text| format!("{:?}: {text}", Device::of_user_agent(&text)))
        .collect();
    assert!(wrong.is_empty(), "these are {expected:?}:\n{}", wrong.join("\n"));
}

#[test]
fn a_phone_whose_name_holds_another_word_is_a_phone() {
    all(
        MOBILE,
        &[
            "Mozilla/5.0 (Linux; Android 10; CUBOT_P20) {webkit} Chrome/124.0.0.0 Mobile Safari/537.36",
            "Mozilla/5.0 (Linux; Android 14; HTV33 Build/UP1A.231005.007) {webkit} Version/4.0 Chrome/124.0.0.0 Mobile Safari/537.36",
            "Mozilla/5.0 (Linux; Android 11; CUBOT KINGKONG MINI2) {webkit} Chrome/96.0.4664.104 Mobile Safari/537.36",
            "Mozilla/5.0 (Linux; Android 9; Cubot X19 Build/PPR1) {webkit} Chrome/88.0.4324.152 Mobile Safari/537.36",
            "Mozilla/5.0 (Linux; Android 12; HTV31) {webkit} Chrome/110.0.0.0 Mobile Safari/537.36",
            "Mozilla/5.0 (Linux; Android 8.0; HTV32 Build/OPR6) {webkit} Version/4.0 Chrome/99.0.4844.88 Mobile Safari/537.36 Line/12.2.0/IAB",
            "Mozilla/5.0 (Linux; Android 13; Abbott A1) {webkit} Chrome/124.0.0.0 Mobile Safari/537.36",
            "Mozilla/5.0 (Linux; Android 12; Robotics R7) {webkit} Chrome/124.0.0.0 Mobile Safari/537.36",
            "Mozilla/5.0 (Linux; Android 12; Spider 5G) {webkit} Chrome/124.0.0.0 Mobile Safari/537.36",
            "Mozilla/5.0 (Linux; Android 12; Crawler X) {webkit} Chrome/124.0.0.0 Mobile Safari/537.36",
            "Mozilla/5.0 (Linux; Android 7.0; MTV M10) {webkit} Chrome/80.0.3987.99 Mobile Safari/537.36",
            "Mozilla/5.0 (Linux; Android 11; Boxer 5) {webkit} Chrome/80.0.3987.99 Mobile Safari/537.36",
            "Mozilla/5.0 (Linux; Android 11; AFTER 5) {webkit} Chrome/80.0.3987.99 Mobile Safari/537.36",
            "Mozilla/5.0 (Linux; U; Android 4.4.2; de-de; CUBOT ONE Build/KOT49H) AppleWebKit/534.30 (KHTML, like Gecko) Version/4.0 Mobile Safari/534.30",
            "Mozilla/5.0 (Linux; Android 10; CUBOT_NOTE_20_PRO; wv) {webkit} Version/4.0 Chrome/120.0.0.0 Mobile Safari/537.36 [FB_IAB/FB4A;FBAV/444.0.0.1;FBDV/CUBOT_NOTE_20_PRO;FBMF/CUBOT;FBCR/MTV;]",
            "Mozilla/5.0 (Linux; Android 13; Tesla SP9.2) {webkit} Chrome/118.0.0.0 Mobile Safari/537.36",
        ],
    );
    all(
        TABLET,
        &[
            "Mozilla/5.0 (Linux; Android 10; CUBOT TAB 10) {webkit} Chrome/124.0.0.0 Safari/537.36",
            "Mozilla/5.0 (Linux; U; Android 2.3.4; en-us; BNTV250 Build/GINGERBREAD) AppleWebKit/533.1 (KHTML, like Gecko) Version/4.0 Safari/533.1",
            "Mozilla/5.0 (Linux; Android 11; Abbott Pad) {webkit} Chrome/124.0.0.0 Safari/537.36",
        ],
    );
}

#[test]
fn phones() {
    all(
        MOBILE,
        &[
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) {ios} Version/17.5 Mobile/15E148 Safari/604.1",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) {ios} Mobile/15E148",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) {ios} CriOS/125.0.6422.80 Mobile/15E148 Safari/604.1",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 14_4 like Mac OS X) {ios} FxiOS/126.0 Mobile/15E148 Safari/605.1.15",
            "Mozilla/5.0 (iPod touch; CPU iPhone OS 12_5 like Mac OS X) {ios} Version/12.1 Mobile/15E148 Safari/604.1",
            "Mozilla/5.0 (Linux; Android 10; K) {webkit} Chrome/124.0.0.0 Mobile Safari/537.36",
            "Mozilla/5.0 (Linux; Android 14; SM-S928B) {webkit} SamsungBrowser/25.0 Chrome/121.0.0.0 Mobile Safari/537.36",
            "Mozilla/5.0 (Android 14; Mobile; rv:126.0) Gecko/126.0 Firefox/126.0",
            "Mozilla/5.0 (Android; Mobile; rv:13.0) Gecko/13.0 Firefox/13.0",
            "Mozilla/5.0 (Linux; U; Android 13; en-us; 2201117TG Build/TKQ1) {webkit} Version/4.0 Chrome/109.0.5414.118 Mobile Safari/537.36 XiaoMi/MiuiBrowser/14.6.0-gn",
            "Mozilla/5.0 (Linux; arm_64; Android 12; CPH2205) {webkit} Chrome/124.0.0.0 YaBrowser/24.4.1 SA/3 Mobile Safari/537.36",
            "Mozilla/5.0 (Linux; Tizen 2.3; SAMSUNG SM-Z130H) AppleWebKit/537.3 (KHTML, like Gecko) SamsungBrowser/1.0 Mobile Safari/537.3",
            "Mozilla/5.0 (BB10; Touch) AppleWebKit/537.35+ (KHTML, like Gecko) Version/10.2.1 Mobile Safari/537.35+",
            "Mozilla/5.0 (Mobile; rv:26.0) Gecko/26.0 Firefox/26.0",
            "Mozilla/5.0 (Linux; Ubuntu 14.04 like Android 4.4) AppleWebKit/537.36 Chromium/35.0.1870.2 Mobile Safari/537.36",
            "Mozilla/5.0 (Sailfish 4.0; Mobile; rv:78.0) Gecko/78.0 Firefox/78.0 SailfishBrowser/1.0",
        ],
    );
}

#[test]
fn foldables_are_phones_open_and_closed() {
    all(
        MOBILE,
        &[
            "Mozilla/5.0 (Linux; Android 14; SM-F946B) {webkit} Chrome/124.0.0.0 Mobile Safari/537.36",
            "Mozilla/5.0 (Linux; Android 13; SM-F936U) {webkit} SamsungBrowser/20.0 Chrome/106.0.5249.126 Safari/537.36",
            "Mozilla/5.0 (Linux; Android 14; Pixel Fold Build/UQ1A) {webkit} Chrome/124.0.0.0 Safari/537.36",
            "Mozilla/5.0 (Linux; Android 14; Pixel 9 Pro Fold) {webkit} Chrome/128.0.0.0 Safari/537.36",
            "Mozilla/5.0 (Linux; Android 13; SM-F731B) {webkit} Chrome/124.0.0.0 Mobile Safari/537.36",
            "Mozilla/5.0 (Linux; Android 13; motorola razr 40 ultra) {webkit} Chrome/124.0.0.0 Mobile Safari/537.36",
            "Mozilla/5.0 (Linux; Android 12; Surface Duo) {webkit} Chrome/124.0.0.0 Mobile Safari/537.36 EdgA/124.0.0.0",
        ],
    );
}

#[test]
fn feature_phones_and_windows_phones() {
    all(
        MOBILE,
        &[
            "Mozilla/5.0 (Mobile; Nokia_8110_4G; rv:48.0) Gecko/48.0 Firefox/48.0 KAIOS/2.5",
            "Mozilla/5.0 (Mobile; LYF/F320B/LYF-F320B-003-01-15-130718; rv:48.0) Gecko/48.0 Firefox/48.0 KAIOS/2.5",
            "Mozilla/5.0 (Mobile; ALCATEL 4056Z; rv:84.0) Gecko/84.0 Firefox/84.0 KAIOS/3.1",
            "Mozilla/5.0 (Mobile; Nokia 2720 Flip; rv:84.0) Gecko/84.0 Firefox/84.0 KAIOS/3.0",
            "Mozilla/5.0 (Mobile; CUBOT K1; rv:48.0) Gecko/48.0 Firefox/48.0 KAIOS/2.5.2",
            "Opera/9.80 (J2ME/MIDP; Opera Mini/7.1.32052/29.3709; U; en) Presto/2.8.119 Version/11.10",
            "Opera/9.80 (Android; Opera Mini/36.2.2254/119.132; U; id) Presto/2.12.423 Version/12.16",
            "Opera/9.80 (MAUI Runtime; Opera Mini/4.4.39008/191.293; U; en) Presto/2.12.423 Version/12.16",
            "Opera/9.80 (Android 2.3.3; Linux; Opera Mobi/ADR-1111101157; U; es-ES) Presto/2.9.201 Version/11.50",
            "Mozilla/5.0 (Linux; U; Android 12; M2006C3LG Build/SP1A; wv) {webkit} Version/4.0 Chrome/124.0.0.0 Mobile Safari/537.36 OPR/80.0.2254.71",
            "Nokia6300/2.0 (05.50) Profile/MIDP-2.0 Configuration/CLDC-1.1",
            "SAMSUNG-GT-C3312/1.0 NetFront/4.2 Profile/MIDP-2.0 Configuration/CLDC-1.1",
            "UCWEB/2.0 (Java; U; MIDP-2.0; en-US; nokia2690) U2/1.0.0 UCBrowser/9.5.0.449 U2/1.0.0 Mobile",
            "BlackBerry9700/5.0.0.862 Profile/MIDP-2.1 Configuration/CLDC-1.1 VendorID/120",
            "Mozilla/5.0 (BlackBerry; U; BlackBerry 9900; en) AppleWebKit/534.11+ (KHTML, like Gecko) Version/7.1.0.346 Mobile Safari/534.11+",
            "Mozilla/5.0 (SymbianOS/9.4; Series60/5.0 NokiaN97-1/20.0.019; Profile/MIDP-2.1 Configuration/CLDC-1.1) AppleWebKit/525 (KHTML, like Gecko) BrowserNG/7.1.18124",
            "Mozilla/5.0 (Series40; Nokia501/10.0.2; Profile/MIDP-2.1 Configuration/CLDC-1.1) Gecko/20100401 S40OviBrowser/3.0.0.0.73",
            "DoCoMo/2.0 P903i(c100;TB;W24H12)",
            "SonyEricssonW810i/R4EA Browser/NetFront/3.3 Profile/MIDP-2.0 Configuration/CLDC-1.1",
            "Mozilla/5.0 (Windows Phone 10.0; Android 6.0.1; Microsoft; Lumia 950) {webkit} Chrome/52.0.2743.116 Mobile Safari/537.36 Edge/15.15254",
            "Mozilla/5.0 (compatible; MSIE 10.0; Windows Phone 8.0; Trident/6.0; IEMobile/10.0; ARM; Touch; NOKIA; Lumia 920)",
            "Mozilla/5.0 (Mobile; Windows Phone 8.1; Android 4.0; ARM; Trident/7.0; Touch; rv:11.0; IEMobile/11.0; NOKIA; Lumia 635) like iPhone OS 7_0_3 Mac OS X {webkit} Mobile Safari/537",
            "Mozilla/5.0 (Windows NT 6.2; ARM; Trident/7.0; Touch; rv:11.0; WPDesktop; Lumia 1520) like Gecko",
            "Mozilla/4.0 (compatible; MSIE 6.0; Windows CE; IEMobile 8.12; MSIEMobile 6.5)",
        ],
    );
}

#[test]
fn harmony_says_its_form_first() {
    all(
        MOBILE,
        &[
            "Mozilla/5.0 (Phone; OpenHarmony 5.0) {webkit} Chrome/114.0.0.0 Safari/537.36 ArkWeb/4.1.6.1 Mobile",
            "Mozilla/5.0 (Phone; OpenHarmony 4.1) {webkit} Chrome/114.0.0.0 Safari/537.36 ArkWeb/4.1.6.1 Mobile HuaweiBrowser/5.0.4.300",
            "Mozilla/5.0 (Phone; OpenHarmony 5.1) {webkit} Chrome/132.0.0.0 Safari/537.36 ArkWeb/6.0.0 Mobile MicroMessenger/8.0.5 Weixin",
            "Mozilla/5.0 (Phone; OpenHarmony 6.0) {webkit} Chrome/132.0.0.0 Safari/537.36 ArkWeb/6.0.0",
            "Mozilla/5.0 (Linux; Android 12; HarmonyOS; NOH-AN00; HMSCore 6.12.0.302) {webkit} Chrome/99.0.4844.88 HuaweiBrowser/14.0.2.310 Mobile Safari/537.36",
            "Mozilla/5.0 (Linux; Android 10; HarmonyOS; ELS-AN00; HMSCore 6.1.0.314) {webkit} Chrome/88.0.4324.93 HuaweiBrowser/12.0.1.300 Mobile Safari/537.36",
        ],
    );
    all(
        TABLET,
        &[
            "Mozilla/5.0 (Tablet; OpenHarmony 5.0) {webkit} Chrome/114.0.0.0 Safari/537.36 ArkWeb/4.1.6.1",
            "Mozilla/5.0 (Tablet; OpenHarmony 5.1) {webkit} Chrome/132.0.0.0 Safari/537.36 ArkWeb/6.0.0 HuaweiBrowser/5.1.0",
            "Mozilla/5.0 (Tablet; OpenHarmony 4.1) {webkit} Chrome/114.0.0.0 Safari/537.36 ArkWeb/4.1.6.1 Mobile",
            "Mozilla/5.0 (Linux; Android 12; HarmonyOS; DBY-W09; HMSCore 6.12.0.302) {webkit} Chrome/99.0.4844.88 HuaweiBrowser/14.0.2.310 Safari/537.36",
        ],
    );
    all(
        DESKTOP,
        &[
            "Mozilla/5.0 (PC; OpenHarmony 5.0) {webkit} Chrome/114.0.0.0 Safari/537.36 ArkWeb/4.1.6.1",
            "Mozilla/5.0 (PC; OpenHarmony 5.1) {webkit} Chrome/132.0.0.0 Safari/537.36 ArkWeb/6.0.0 HuaweiBrowser/5.1.0",
            "Mozilla/5.0 (2in1; OpenHarmony 5.0) {webkit} Chrome/114.0.0.0 Safari/537.36 ArkWeb/4.1.6.1",
        ],
    );
    all(
        None,
        &[
            "Mozilla/5.0 (TV; OpenHarmony 5.0) {webkit} Chrome/114.0.0.0 Safari/537.36 ArkWeb/4.1.6.1",
            "Mozilla/5.0 (Wearable; OpenHarmony 5.0) {webkit} Chrome/114.0.0.0 Safari/537.36 ArkWeb/4.1.6.1",
            "Mozilla/5.0 (Car; OpenHarmony 5.0) {webkit} Chrome/114.0.0.0 Safari/537.36 ArkWeb/4.1.6.1",
        ],
    );
}

#[test]
fn in_app_browsers_are_of_the_device_that_they_run_on() {
    all(
        MOBILE,
        &[
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4_1 like Mac OS X) {ios} Mobile/15E148 [FBAN/FBIOS;FBAV/463.1.0.31.108;FBBV/595;FBDV/iPhone14,5;FBMD/iPhone;FBSN/iOS;FBSV/17.4.1;FBSS/3;FBID/phone;FBLC/es_LA;FBOP/5]",
            "Mozilla/5.0 (Linux; Android 14; SM-A546B Build/UP1A; wv) {webkit} Version/4.0 Chrome/124.0.6367.82 Mobile Safari/537.36 [FB_IAB/FB4A;FBAV/463.0.0.40.83;]",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) {ios} Mobile/21E219 Instagram 330.0.5.27.90 (iPhone15,2; iOS 17_4; en_GB; en-GB; scale=3.00; 1179x2556; 594)",
            "Mozilla/5.0 (Linux; Android 13; SM-G991U Build/TP1A; wv) {webkit} Version/4.0 Chrome/123.0.6312.118 Mobile Safari/537.36 Instagram 329.0.0.41.93 Android (33/13; 420dpi; 1080x2181; samsung; SM-G991U; o1q; qcom; en_US; 592)",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 16_6 like Mac OS X) {ios} Mobile/15E148 musical_ly_34.4.0 JsSdk/2.0 NetType/WIFI Channel/App Store ByteLocale/en Region/US isDarkMode/0 WKWebView/1 BytedanceWebview/d8a21c6",
            "Mozilla/5.0 (Linux; Android 13; 220733SG Build/TP1A; wv) {webkit} Version/4.0 Chrome/124.0.0.0 Mobile Safari/537.36 trill_340403 JsSdk/1.0 NetType/4G Channel/googleplay AppName/musical_ly app_version/34.4.3 ByteLocale/de ByteFullLocale/de Region/DE BytedanceWebview/d8a21c6",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) {ios} Mobile/15E148 MicroMessenger/8.0.49(0x18003137) NetType/WIFI Language/zh_CN",
            "Mozilla/5.0 (Linux; Android 12; V2185A Build/SP1A; wv) {webkit} Version/4.0 Chrome/116.0.0.0 Mobile Safari/537.36 XWEB/1160065 MMWEBSDK/20231202 MMWEBID/1 MicroMessenger/8.0.47.2560(0x28002F30) WeChat/arm64 Weixin NetType/5G Language/zh_CN ABI/arm64",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) {ios} Mobile/15E148 Safari Line/14.7.0",
            "Mozilla/5.0 (Linux; Android 14; SO-52D Build/67; wv) {webkit} Version/4.0 Chrome/124.0.0.0 Mobile Safari/537.36 Line/14.7.2/IAB",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) {ios} Mobile/15E148 [LinkedInApp]/9.29.6502",
            "Mozilla/5.0 (Linux; Android 14; Pixel 8 Build/AP1A; wv) {webkit} Version/4.0 Chrome/124.0.0.0 Mobile Safari/537.36 [LinkedInApp]/4.1.935",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) {ios} Version/17.5 Mobile/15E148 Snapchat/12.87.0.40 (like Safari/8618.2.12, panda)",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) {ios} Mobile/15E148 [Pinterest/iOS]",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) {ios} GSA/319.0.634021233 Mobile/15E148 Safari/604.1",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) {ios} Mobile/15E148 MagentaTV/5.2",
        ],
    );
    all(
        TABLET,
        &[
            "Mozilla/5.0 (iPad; CPU OS 17_4 like Mac OS X) {ios} Mobile/15E148 [FBAN/FBIOS;FBDV/iPad13,4;FBMD/iPad;FBSN/iPadOS;FBSV/17.4;FBSS/2;FBID/tablet;FBLC/de_DE]",
            "Mozilla/5.0 (Linux; Android 13; SM-X700 Build/TP1A; wv) {webkit} Version/4.0 Chrome/124.0.0.0 Safari/537.36 [FB_IAB/FB4A;FBAV/463.0.0.40.83;]",
            "Mozilla/5.0 (iPad; CPU OS 17_5 like Mac OS X) {ios} Mobile/15E148 MicroMessenger/8.0.49(0x18003137) NetType/WIFI Language/zh_CN",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) {ios} Mobile/15E148 [FBAN/FBIOS;FBDV/iPad11,6;FBMD/iPad;FBSN/iPadOS;FBID/tablet]",
        ],
    );
    all(
        DESKTOP,
        &[
            "Mozilla/5.0 (Windows NT 10.0; WOW64) {webkit} Chrome/107.0.0.0 Safari/537.36 NetType/WIFI MicroMessenger/7.0.20.1781(0x6700143B) WindowsWechat(0x63090a13) XWEB/9129 Flue",
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) {webkit} Slack/4.38.125 Chrome/124.0.6367.207 Electron/30.0.6 Safari/537.36 Sonic Slack_SSB/4.38.125",
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {webkit} Code/1.89.1 Chrome/122.0.6261.156 Electron/29.4.0 Safari/537.36",
            "Mozilla/5.0 (X11; Linux x86_64) {webkit} MyDesktopApp/1.0.0 Chrome/124.0.0.0 Electron/30.0.0 Safari/537.36",
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) {webkit} Chrome/120.0.0.0 Safari/537.36 Teams/24124.1412.2911.3341",
        ],
    );
}

#[test]
fn tablets() {
    all(
        TABLET,
        &[
            "Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) {ios} CriOS/120.0.6099.119 Mobile/15E148 Safari/604.1",
            "Mozilla/5.0 (iPad; U; CPU iPhone OS 3_2 like Mac OS X; en-us) AppleWebKit/531.21.10 (KHTML, like Gecko) Version/4.0.4 Mobile/7B314 Safari/531.21.10",
            "Opera/9.80 (iPad; Opera Mini/7.0.5/191.293; U; en) Presto/2.12.423 Version/12.16",
            "Mozilla/5.0 (Linux; Android 10; K) {webkit} Chrome/124.0.0.0 Safari/537.36",
            "Mozilla/5.0 (Linux; Android 13; SM-T510) {webkit} SamsungBrowser/20.0 Chrome/106.0.5249.126 Safari/537.36",
            "Mozilla/5.0 (Android 14; Tablet; rv:126.0) Gecko/126.0 Firefox/126.0",
            "Mozilla/5.0 (Linux; Android 14; Pixel Tablet) {webkit} Chrome/124.0.0.0 Safari/537.36",
            "Mozilla/5.0 (Linux; Android 4.1.1; Nexus 7 Build/JRO03D) AppleWebKit/535.19 (KHTML, like Gecko) Chrome/18.0.1025.166 Safari/535.19",
            "Mozilla/5.0 (PlayBook; U; RIM Tablet OS 2.1.0; en-US) AppleWebKit/536.2+ (KHTML, like Gecko) Version/7.2.1.0 Safari/536.2+",
            "Opera/9.80 (Android 3.2.1; Linux; Opera Tablet/ADR-1109081720; U; en) Presto/2.8.149 Version/11.10",
            "Mozilla/5.0 (Tablet; rv:26.0) Gecko/26.0 Firefox/26.0",
            // "Fire Tablet device models" and "Silk user agents", developer.amazon.com.
            "Mozilla/5.0 (Linux; Android 9; KFTRWI) {webkit} Silk/98.6.10 like Chrome/98.0.4758.136 Safari/537.36",
            "Mozilla/5.0 (Linux; Android 11; KFRASWI Build/RS8332) {webkit} Silk/108.4.6 like Chrome/108.0.5359.220 Safari/537.36",
            "Mozilla/5.0 (Linux; Android 5.1.1; KFAUWI Build/LVY48F; wv) {webkit} Version/4.0 Chrome/70.0.3538.110 Mobile Safari/537.36",
            "Mozilla/5.0 (Linux; U; Android 4.0.3; en-us; Kindle Fire HD Build/IML74K) AppleWebKit/535.19 (KHTML, like Gecko) Silk/3.13 Safari/535.19 Silk-Accelerated=true",
        ],
    );
}

#[test]
fn computers() {
    all(
        DESKTOP,
        &[
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) {webkit} Chrome/124.0.0.0 Safari/537.36 Edg/124.0.0.0",
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:126.0) Gecko/20100101 Firefox/126.0",
            "Mozilla/5.0 (Windows NT 6.3; WOW64; Trident/7.0; Touch; Tablet PC 2.0; rv:11.0) like Gecko",
            "Mozilla/5.0 (Windows NT 6.2; Win64; x64; Trident/6.0; Touch; MSIE 10.0) like Gecko",
            "Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1; WOW64; Trident/4.0; SLCC2; Media Center PC 6.0; Tablet PC 2.0)",
            "Opera/9.80 (Windows NT 6.1; U; en) Presto/2.10.289 Version/12.02",
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {ios} Version/17.5 Safari/605.1.15",
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:126.0) Gecko/20100101 Firefox/126.0",
            // An iPad asks for the desktop's page by itself: nobody can tell the two.
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {ios} Version/16.6 Safari/605.1.15",
            "Mozilla/5.0 (X11; Linux x86_64; rv:126.0) Gecko/20100101 Firefox/126.0",
            "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:126.0) Gecko/20100101 Firefox/126.0",
            "Mozilla/5.0 (X11; Linux aarch64) {webkit} Chrome/124.0.0.0 Safari/537.36",
            "Mozilla/5.0 (X11; FreeBSD amd64; rv:126.0) Gecko/20100101 Firefox/126.0",
            "Mozilla/5.0 (X11; OpenBSD amd64) {webkit} Chrome/124.0.0.0 Safari/537.36",
            "Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {webkit} Chrome/124.0.0.0 Safari/537.36",
            "Mozilla/5.0 (X11; CrOS aarch64 15329.44.0) {webkit} Chrome/124.0.0.0 Safari/537.36",
            "Mozilla/5.0 (X11; CrOS armv7l 13597.84.0) {webkit} Chrome/89.0.4389.95 Safari/537.36",
            "Mozilla/5.0 (Windows; U; Windows NT 10.0; en-US; Valve Steam Client/default/1608507519; ) {webkit} Chrome/79.0.3945.117 Safari/537.36",
        ],
    );
}

#[test]
fn robots_previews_and_monitors_have_no_class() {
    all(
        None,
        &[
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            "Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X Build/MMB29P) {webkit} Chrome/124.0.0.0 Mobile Safari/537.36 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            "Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X) {webkit} Chrome/124.0.0.0 Mobile Safari/537.36 (compatible; Googlebot/2.1)",
            "Mozilla/5.0 {webkit} (compatible; GPTBot/1.2; +https://openai.com/gptbot)",
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) {webkit} Chrome/124.0.0.0 Safari/537.36 SomeCrawler/1.0",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 8_3 like Mac OS X) {ios} Version/8.0 Mobile/12F70 Safari/600.1.4 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)",
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_5) {ios} Version/13.1.1 Safari/605.1.15 (Applebot/0.1; +http://www.apple.com/go/applebot)",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 14_7 like Mac OS X) {ios} Mobile/15E148 AdsBot-Google-Mobile",
            "Mozilla/5.0 (Linux; Android 5.0) {webkit} Mobile Safari/537.36 (compatible; Bytespider; spider-feedback@bytedance.com)",
            "Mozilla/5.0 (Linux;u;Android 4.2.2;zh-cn;) AppleWebKit/534.46 (KHTML,like Gecko) Version/5.1 Mobile Safari/10600.6.3 (compatible; Baiduspider/2.0)",
            "Mozilla/5.0 (Linux; Android 7.0;) {webkit} Mobile Safari/537.36 (compatible; PetalBot;+https://webmaster.petalsearch.com/site/petalbot)",
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_10_1) AppleWebKit/600.2.5 (KHTML, like Gecko) Version/8.0.2 Safari/600.2.5 (Amazonbot/0.1)",
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_11_1) AppleWebKit/601.2.4 (KHTML, like Gecko) Version/9.0.1 Safari/601.2.4 facebookexternalhit/1.1 Facebot Twitterbot/1.0",
            "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
            "Mozilla/5.0 (Windows NT 6.1; WOW64) {webkit} Chrome/116.0.0.0 Safari/537.36 BingPreview/1.0b",
            "Mozilla/5.0 (Windows NT 6.1; WOW64) {webkit} SkypeUriPreview Preview/0.5",
            "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
            "TelegramBot (like TwitterBot)",
            "WhatsApp/2.23.20.0",
            "Mozilla/5.0 (X11; Linux x86_64) {webkit} HeadlessChrome/124.0.0.0 Safari/537.36",
            "Mozilla/5.0 (Unknown; Linux x86_64) AppleWebKit/538.1 (KHTML, like Gecko) PhantomJS/2.1.1 Safari/538.1",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/534.34 (KHTML, like Gecko) PhantomJS/1.9.8 Safari/534.34",
            "Mozilla/5.0 (linux) {webkit} jsdom/20.0.3",
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {webkit} Chrome/119.0.0.0 Safari/537.36 Chrome-Lighthouse",
            "Mozilla/5.0 (Linux; Android 11; moto g power (2022)) {webkit} Chrome/119.0.0.0 Mobile Safari/537.36 Chrome-Lighthouse",
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) {webkit} Chrome/124.0.0.0 Safari/537.36 PTST/240510.153722",
            "Mozilla/5.0 (X11; Linux x86_64) {webkit} Chrome/124.0.0.0 Safari/537.36 DatadogSynthetics",
            "Mozilla/5.0 (X11; Linux x86_64) {webkit} Chrome/124.0.0.0 Safari/537.36 PingdomPageSpeed/1.0 (pingbot/2.0; +http://www.pingdom.com/)",
            "Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)",
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) {webkit} Chrome/90.0.4430.85 Safari/537.36 Site24x7",
            "Mozilla/5.0 (X11; Linux x86_64) {webkit} Chrome/124.0.0.0 Safari/537.36 GTmetrix",
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) {webkit} Cypress/13.8.1 Chrome/118.0.5993.159 Electron/27.3.10 Safari/537.36",
        ],
    );
}

#[test]
fn television_has_no_class() {
    all(
        None,
        &[
            "Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0) {webkit} Version/6.0 TV Safari/537.36",
            "Mozilla/5.0 (SMART-TV; X11; Linux armv7l) AppleWebKit/537.42 (KHTML, like Gecko) Chromium/25.0.1349.2 Chrome/25.0.1349.2 Safari/537.42",
            "Mozilla/5.0 (Web0S; Linux/SmartTV) {webkit} Chrome/94.0.4606.128 Safari/537.36 WebAppManager",
            "Mozilla/5.0 (Linux; Android 9; BRAVIA 4K UR2) {webkit} Chrome/100.0.0.0 Safari/537.36",
            "Mozilla/5.0 (Linux; Android 12; Chromecast Build/STTE) {webkit} Chrome/120.0.0.0 Safari/537.36",
            "Mozilla/5.0 (Linux; Android 11; SHIELD Android TV Build/RQ1A) {webkit} Chrome/124.0.0.0 Safari/537.36",
            "Mozilla/5.0 (Linux; Android 9; MIBOX4 Build/PI; wv) {webkit} Version/4.0 Chrome/124.0.0.0 Mobile Safari/537.36",
            "Mozilla/5.0 (Linux; Android 10; MiTV-AXSO1) {webkit} Chrome/99.0.4844.88 Safari/537.36",
            "Mozilla/5.0 (Linux; Andr0id 9; Android TV) {webkit} Opera/46.0.2207.0 OMI/4.20 Safari/537.36",
            "Mozilla/5.0 (Linux; Android 4.2.2; AFTB Build/JDQ39) AppleWebKit/537.22 (KHTML, like Gecko) Chrome/25.0.1364.173 Mobile Safari/537.22",
            "Mozilla/5.0 (Linux; Android 9; AFTMM Build/PS7633; wv) {webkit} Version/4.0 Chrome/100.0.0.0 Safari/537.36",
            "Mozilla/5.0 (Linux; Android 7.1.2; AFTKA) {webkit} Silk/108.4.6 like Chrome/108.0.5359.220 Safari/537.36",
            "Mozilla/5.0 (X11; Linux armv7l) {webkit} Chrome/90.0.4430.225 Safari/537.36 CrKey/1.56.500000",
            "Mozilla/5.0 (Linux; U; Linux; en) {webkit} Chrome/76 Safari/537.36 HbbTV/1.5.1 (+DRM; LGE; 55; WEBOS6.0)",
            "Mozilla/5.0 (Linux; Android 10.0) {webkit} Chrome/88.0 Safari/537.36 HbbTV/1.6.1 (;Philips;;;)",
            "Mozilla/5.0 (X11; Linux x86_64) {webkit} Chrome/88.0.4324.150 Safari/537.36 OPR/46 VIDAA/6.0",
            "Roku/DVP-9.10 (519.10E04111A)",
            "AppleTV11,1/11.1",
            "AppleCoreMedia/1.0.0.20L563 (Apple TV; U; CPU OS 16_5 like Mac OS X; en_us)",
            "Mozilla/5.0 (X11; Linux i686) {webkit} Chrome/69 Safari/537.36 STB/1.0",
            "Mozilla/5.0 (Linux; Android 7.1.2; TV BOX) {webkit} Chrome/99.0.0.0 Safari/537.36",
            "Mozilla/5.0 (Linux; Android 9; DV8555-KWS IPTV STB) {webkit} Chrome/99.0.0.0 Safari/537.36",
            "Mozilla/5.0 (QtEmbedded; U; Linux; C) AppleWebKit/533.3 (KHTML, like Gecko) MAG200 stbapp ver: 2 rev: 250 Safari/533.3",
        ],
    );
}

#[test]
fn consoles_headsets_cars_and_wearables_have_no_class() {
    all(
        None,
        &[
            "Mozilla/5.0 (PlayStation; PlayStation 5/6.00) {ios} Version/15.4 Safari/605.1.15",
            "Mozilla/5.0 (PLAYSTATION 3; 3.55)",
            "Mozilla/5.0 (PlayStation Vita 3.61) AppleWebKit/537.73 (KHTML, like Gecko) Silk/3.2",
            "Mozilla/5.0 (Nintendo Switch; WifiWebAuthApplet) AppleWebKit/609.4 (KHTML, like Gecko) NF/6.0.2.21.3 NintendoBrowser/5.1.0.22474",
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64; Xbox; Xbox One) {webkit} Chrome/64.0.3282.140 Safari/537.36 Edge/18.17763",
            "Mozilla/5.0 (Windows Phone 10.0; Android 4.2.1; Xbox; Xbox One) {webkit} Chrome/46.0.2486.0 Mobile Safari/537.36 Edge/13.10586",
            "Mozilla/5.0 (X11; Linux x86_64; Quest 2) {webkit} OculusBrowser/32.0.0.3.34 Chrome/124.0.6367.118 VR Safari/537.36",
            "Mozilla/5.0 (Linux; Android 12; Quest 3) {webkit} OculusBrowser/32.0.0.3.34 SamsungBrowser/4.0 Chrome/124.0.6367.118 Mobile VR Safari/537.36",
            "Mozilla/5.0 (Linux; Android 7.1.1; Pacific Build/N9F27L) {webkit} OculusBrowser/15.0 Chrome/89.0.4389.105 Mobile VR Safari/537.36",
            "Mozilla/5.0 (Linux; Android 10; Pico Neo 3 Link) {webkit} PicoBrowser/3.3.28 Chrome/105.0.5195.68 Mobile VR Safari/537.36",
            "Mozilla/5.0 (Linux; Android 10; A8110) {webkit} PicoBrowser/3.3.40 Chrome/105.0.5195.68 VR Safari/537.36",
            "Mozilla/5.0 (Android 12; Mobile VR; rv:120.0) Gecko/120.0 Firefox/120.0 Wolvic/1.5",
            "Mozilla/5.0 (Apple Vision Pro; CPU OS 1_0 like Mac OS X) {ios} Version/17.2 Safari/605.1.15",
            "MyApp/3.1 (Apple Vision Pro; visionOS 2.1; Scale/2.00)",
            "Mozilla/5.0 (X11; GNU/Linux) {webkit} Chromium/109.0.5414.119 Chrome/109.0.5414.119 Safari/537.36 Tesla/2023.44.30.8-5d2b5c5",
            "Mozilla/5.0 (X11; Linux) AppleWebKit/534.34 (KHTML, like Gecko) QtCarBrowser Safari/534.34",
            "Mozilla/5.0 (Linux; Android 12; Android Automotive OS) {webkit} Chrome/120.0.0.0 Safari/537.36",
            "Mozilla/5.0 (Linux; Android 11; Polestar 2) {webkit} Chrome/120.0.0.0 Safari/537.36",
            "Mozilla/5.0 (Linux; Tizen 2.3.1; SAMSUNG SM-R720) AppleWebKit/537.3 (KHTML, like Gecko) Version/2.3.1 Mobile Safari/537.3",
            "MyApp/1.0 (Apple Watch; watchOS 10.5; Scale/2.00)",
            "Mozilla/5.0 (Linux; Android 11; SM-R890) {webkit} Chrome/120.0.0.0 Mobile Safari/537.36",
            "Mozilla/5.0 (Linux; Android 9; Wear OS watch) {webkit} Chrome/90.0.0.0 Mobile Safari/537.36",
            "Mozilla/5.0 (Linux; Tizen 3.0; FamilyHub) {webkit} Version/3.0 Safari/537.36",
            "Mozilla/5.0 (Linux; Android 7.1.2; AEOBP) {webkit} Silk/98.6.10 like Chrome/98.0.4758.136 Safari/537.36",
        ],
    );
}

#[test]
fn readers_of_books_have_no_class() {
    all(
        None,
        &[
            "Mozilla/5.0 (X11; U; Linux armv7l like Android; en-us) AppleWebKit/531.2+ (KHTML, like Gecko) Version/5.0 Safari/533.2+ Kindle/3.0+",
            "Mozilla/5.0 (Linux; U; en-US) AppleWebKit/528.5+ (KHTML, like Gecko, Safari/528.5+) Version/4.0 Kindle/3.0 (screen 600x800; rotate)",
            "Mozilla/5.0 (Linux; U; Android 2.0; en-us;) AppleWebKit/538.1 (KHTML, like Gecko) Version/4.0 Mobile Safari/538.1 (Kobo Touch 0377/4.20.14622)",
            "Mozilla/5.0 (Linux; Android 8.1; PocketBook PB740) {webkit} Chrome/70.0.0.0 Safari/537.36",
            "Mozilla/5.0 (Linux; Android 4.4.2; tolino vision 4 HD) {webkit} Chrome/30.0.0.0 Safari/537.36",
        ],
    );
}

#[test]
fn applications_and_libraries_have_a_class_only_where_they_name_the_device() {
    all(
        None,
        &[
            "okhttp/4.12.0",
            "curl/8.4.0",
            "curl/7.88.1 (x86_64-pc-linux-gnu) libcurl/7.88.1 OpenSSL/3.0.11",
            "Wget/1.21.3 (linux-gnu)",
            "Java/17.0.1",
            "python-requests/2.31.0",
            "Python/3.11 aiohttp/3.9.1",
            "Go-http-client/2.0",
            "axios/1.6.8",
            "node-fetch/1.0 (+https://github.com/bitinn/node-fetch)",
            "PostmanRuntime/7.37.3",
            "Dart/3.3 (dart:io)",
            "Mozilla/5.0 (Windows NT; Windows NT 10.0; en-US) WindowsPowerShell/5.1.19041.1237",
            "Mozilla/5.0 (Macintosh; Darwin 23.4.0 Darwin Kernel Version 23.4.0; en-US) PowerShell/7.4.2",
            "aws-sdk-android/2.22.6 Linux/5.4.0 Dalvik/2.1.0/0 en_US",
            "aws-sdk-iOS/2.33.4 iOS/17.0 en_US",
            "aws-sdk-js/3.577.0 ua/2.0 os/Windows_NT#10.0.19045 lang/js md/nodejs#20.13.1 api/cognito-identity-provider#3.577.0",
            "aws-amplify/6.3.2 framework/201",
            "amplify-swift/2.33.0 md/internal ua/2.0 api/cognito-identity-provider#1.0 os/ios#17.4 lang/swift#5.10",
            "Dalvik/2.1.0 (Linux; U; Android 13; SM-S901B Build/TP1A.220624.014)",
            "Dalvik/2.1.0 (Linux; U; Android 9; AFTMM Build/PS7633)",
            "MyApp/3 CFNetwork/1410.0.3 Darwin/22.6.0",
            "Expo/1017756 CFNetwork/1494.0.7 Darwin/23.4.0",
            "MyApp/1.0 (com.example.app; build:7; macOS 14.4.0) Alamofire/5.9.1",
            "com.google.android.youtube/19.18.33 (Linux; U; Android 14; en_GB; SM-X700; Build/UP1A) gzip",
            "Instagram 329.0.0.41.93 Android (33/13; 420dpi; 1080x2181; samsung; SM-G991U; o1q; qcom; en_US; 592)",
        ],
    );
    all(
        MOBILE,
        &[
            "MyApp/1.0 (iPhone; iOS 17.5; Scale/3.00)",
            "Instagram 330.0.5.27.90 (iPhone15,2; iOS 17_4; en_GB; en-GB; scale=3.00; 1179x2556; 594)",
            "AppleCoreMedia/1.0.0.21E219 (iPhone; U; CPU OS 17_4 like Mac OS X; en_us)",
        ],
    );
    all(
        TABLET,
        &[
            "MyApp/1.0 (iPad; iOS 17.5; Scale/2.00)",
            "AppleCoreMedia/1.0.0.21E219 (iPad; U; CPU OS 17_4 like Mac OS X; en_us)",
            "MyReader/4.1 (iPad13,16; iPadOS 17.4)",
        ],
    );
}

/// The kinds that the corpora of `benches/devices` hold and the tests above do not.
#[test]
fn what_the_corpora_taught() {
    all(
        MOBILE,
        &[
            "Mozilla/5.0 (Linux; Android 11; Phone@Home X1 Build/RP1A) {webkit} Chrome/124.0.0.0 Mobile Safari/537.36",
            "Mozilla/5.0 (Linux; U; Android 2.3.4; en-us; HTC_Pico_A310e Build/GRJ22) AppleWebKit/533.1 (KHTML, like Gecko) Version/4.0 Mobile Safari/533.1",
            "com.example.shop/5.7.17/Mozilla/5.0 (Linux; Android 9; moto e6 (XT2005DL) Build/PPBS29; wv) {webkit} Version/4.0 Chrome/100.0.4896.79 Mobile Safari/537.36",
            "Mozilla/5.0(Linux;U;Android4.0.4;en-us;LG-MS770Build/IMM76I)AppleWebKit/534.30(KHTML,like Gecko)Version/4.0 Mobile Safari/534.30",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) {ios} Mobile/15E148 Example TV/3.1",
            "Mozilla/5.0 (Linux; Android 13; K Build/TP1A; wv) {webkit} Version/4.0 Chrome/124.0.0.0 Mobile Safari/537.36 Xbox/2405.1",
            "CUBOT_X15/1.0 Profile/MIDP-2.0 Configuration/CLDC-1.1",
            "Mozilla/5.0 (Linux; Android 13; K Build/TP1A; wv) {webkit} Version/4.0 Chrome/124.0.0.0 Mobile Safari/537.36 [FB_IAB/FB4A;FBCR/Example TV;FBLC/de_DE;]",
            "Mozilla/5.0 (Linux; Android 13; AEON) {webkit} Chrome/118.0.0.0 Mobile Safari/537.36",
            "Mozilla/5.0 (Linux; U; Android 4.1.2; es-us; ZTE-Z998 Build/JZO54K) AppleWebKit/534.30 (KHTML, like Gecko) Version/4.0 Mobile Safari/534.30 GSA/3.3.11",
            "Mozilla/5.0 (Linux; Android 13; M7 Build/ROM.EXAMPLE.COM) {webkit} Chrome/118.0.0.0 Mobile Safari/537.36",
            "Mozilla/5.0 (Linux; Android 13; K Build/TP1A; wv) {webkit} Chrome/124.0.0.0 Mobile Safari/537.36 trill_340 ByteLocale/en Region/TV",
        ],
    );
    all(
        TABLET,
        &[
            "com.example.mobile/5.7.14/Mozilla/5.0 (Linux; Android 9; Lenovo TB-8505F Build/R99; wv) {webkit} Version/4.0 Chrome/99.0.4844.73 Safari/537.36",
            "Mozilla/5.0 (Linux; Android 5.1.1; SM-T285 Build/LMY47V) {webkit} Chrome/95.0.4638.74 Mobile Safari/537.36",
            "Mozilla/5.0 (Linux; U; Android 2.2; de-de; GT-P1000 Build/FROYO) AppleWebKit/533.1 (KHTML, like Gecko) Version/4.0 Mobile Safari/533.1",
            "Mozilla/5.0 (Linux; Android 10; MatePad T8) {webkit} Chrome/95.0.4638.74 Mobile Safari/537.36",
            "Mozilla/5.0 (Linux;U;Android4.1.1;de-de; LC0816C Build/JRO03C) AppleWebKit/534.30 (KHTML, like Gecko) Version/4.0 Safari/534.30",
            "com.example.Mobile/5.7.14/Mozilla/5.0 (Linux; Android 9; Lenovo TB-8505F Build/R99; wv) {webkit} Version/4.0 Chrome/99.0.4844.73 Safari/537.36",
            "Mozilla/5.0 (Linux; U; en-us; KFTHWI Build/JDQ39) AppleWebKit/535.19 (KHTML, like Gecko) Silk/3.6 Safari/535.19 Silk-Accelerated=true",
            "Mozilla/5.0 (Linux; Android 4.2.2; tolino tab 8.9 Build/JDQ39) {webkit} Chrome/28.0.1500.94 Safari/537.36",
            "Mozilla/5.0 (Linux; Android 9; SoftBank 705KC) {webkit} Chrome/99.0.4844.73 Safari/537.36",
        ],
    );
    all(
        None,
        &[
            "example.ai/scanning Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Chrome/126.0.0.0 Safari/537.36",
            "Mozilla/5.0 (Linux; Android 9; BeyondTV) {webkit} Chrome/99.0.4844.73 Safari/537.36",
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) {webkit} Chrome/124.0.0.0 Safari/537.36 (someone@mail.example)",
            "Example/4.1 (Linux; Android 13; M7) {webkit} Chrome/99.0.4844.73",
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) {webkit} Chrome/124.0.0.0 Safari/537.36 (compatible; Example/1.0)",
            "page-tool Mozilla/5.0 (Windows NT 10.0; Win64; x64) {webkit} Chrome/80.0.3987.132 Safari/537.36",
            "Mozilla/5.0 (iPad; CPU OS 15_3_1 like Mac OS X) example.com/policy {ios} Version/15.3.1 Mobile/15E148 Safari/604.1",
            "Mozilla/5.0 (X11; Linux x86_64) {webkit} Chrome/79.0.3945.0 Safari/537.36 Example.io/2.0.0",
            "Mozilla/5.0 (Linux; Android 8.0; Pixel 2 Build/OPD3.170816.012; Storebot-Google/1.0) {webkit} Chrome/81.0.4044.138 Mobile Safari/537.36",
            "Mozilla/5.0 (Windows NT 10.0; WOW64) {webkit} Chrome/83.0.4103.97 Safari/537.36 (Some-Monitor)",
            "Mozilla/5.0 (Windows NT 10.0; WOW64) {webkit} Chrome/83.0.4103.97 Safari/537.36 SomeOptimizer-Agent",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko; Google Web Preview) Chrome/27.0.1453 Safari/537.36",
            // Silk's, asking for desktop sites; Chrome's on an iPad or an iPhone, asking for them.
            "Mozilla/5.0 (X11; Linux x86_64) {webkit} Silk/108.4.6 like Chrome/108.0.5359.220 Safari/537.36",
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {ios} CriOS/125.0.6422.80 Version/11.1.1 Safari/605.1.15",
        ],
    );
}

#[test]
fn what_is_like_a_phone_or_has_an_at_sign() {
    all(
        None,
        &[
            "Mozilla/5.0 (New Nintendo 3DS like iPhone) AppleWebKit/536.30 (KHTML, like Gecko) NX/3.0.0.5.24 Mobile NintendoBrowser/1.12.10178.EU",
            "Mozilla/5.0 (AppleTV; CPU OS 17_0 like Mac OS X) {ios} Mobile/15E148",
            "Mozilla/5.0 (Apple TV; CPU iPhone OS 17_0 like Mac OS X) {ios} Mobile/15E148",
            "Mozilla/5.0 (Apple Watch; CPU iPhone OS 17_0 like Mac OS X) {ios} Mobile/15E148",
            "Mozilla/5.0 (Linux; Android 11; Pixel 2; DuplexWeb-Google/1.0) {webkit} Chrome/86.0.4240.193 Mobile Safari/537.36",
            "Mozilla/5.0 (Linux; Android 14; SM-I610) {webkit} Chrome/124.0.0.0 Mobile Safari/537.36",
            "Mozilla/5.0 (Linux; Android 11; Smart Display X) {webkit} Chrome/124.0.0.0 Safari/537.36",
            "Mozilla/5.0 (Linux; Android 11; BOOX Leaf) {webkit} Chrome/124.0.0.0 Safari/537.36",
        ],
    );
    all(
        MOBILE,
        &[
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_2_1 like Mac OS X) {ios} Version/17.2.1 Mobile/15E148 Safari/604.1 (Ecosia ios@9.2.3.1367)",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_2_1 like Mac OS X) {ios} Mobile/15E148 (user@app; v2@3.1) (build@12)",
        ],
    );
    all(
        DESKTOP,
        &[
            "Mozilla/5.0 (Linux; Android 13; Google Pixelbook Go) {webkit} Chrome/124.0.0.0 Safari/537.36",
            "Mozilla/5.0 (Linux; Android 13; Subsystem for Android(TM)) {webkit} Chrome/124.0.0.0 Safari/537.36",
        ],
    );
}

#[test]
fn what_says_nothing_is_unknown() {
    let texts = [
        "",
        " ",
        "-",
        "null",
        "undefined",
        "Mozilla/5.0",
        "Mozilla/5.0 (",
        "\u{301}é (",
        "Desktop",
        "Mobile",
        "Mozilla/5.0 (Linux; Android",
        "((((",
        "))))",
        "[[]",
        "Android",
        "Linux",
        "Mozilla/5.0 {webkit}",
        "\0",
        ";;;/;",
    ];
    all(None, &texts);
}

#[test]
fn a_named_class_is_read_in_any_case() {
    assert_eq!(Device::parse(" mobile"), Some(Device::Mobile));
    assert_eq!(Device::parse("toaster"), None);
    assert_eq!(Device::parse("null"), None);
}

/// Parts of user agents in any order, and any text between them.
fn jumble() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("Mozilla/5.0 (".to_owned()),
        Just("Linux; Android 10; ".to_owned()),
        Just(" Mobile Safari/537.36".to_owned()),
        Just("[FBAN/".to_owned()),
        Just("iPad".to_owned()),
        Just(")".to_owned()),
        Just("http://".to_owned()),
        Just("bot/".to_owned()),
        ".{0,40}",
    ];
    prop::collection::vec(part, 0..40).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_read(text in jumble()) {
        prop_assert_eq!(Device::read(&text), Device::of_user_agent(&text));
    }

    /// The rules look at words, never inside of them: letters beside a word of theirs make another word.
    #[test]
    fn a_phone_stays_a_phone_whatever_its_name(name in "[GHLXZ]{0,4}(BOT|TV|Spider|Crawl|Watch|Quest|Box)[xyz0-9]{1,4}") {
        let text = format!("Mozilla/5.0 (Linux; Android 14; {name}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Mobile Safari/537.36");
        prop_assert_eq!(Device::read(&text), MOBILE, "{}", text);
    }
}

/// The cost grows with the length, and with nothing else: a text that makes a rule begin again and again is no worse.
#[test]
fn the_cost_is_linear() {
    let cost = |text: &str| {
        let best = (0..5).map(|_| {
            let start = std::time::Instant::now();
            std::hint::black_box(Device::read(std::hint::black_box(text)));
            start.elapsed()
        });
        best.min().unwrap_or_default().as_secs_f64()
    };
    for part in ["(", ";", " ", "(Android; ", "a ", "bot", "a b/", "http:", "[", "Mobile ", "é", "a@", "a@b."]
    {
        let ratio = cost(&part.repeat(64 * 256)) / cost(&part.repeat(256));
        // The square of 64 would be 4,096.
        assert!(ratio < 1_024.0, "{part:?}: 64 times the text costs {ratio} times as much");
    }
}

#[test]
fn a_device_by_the_name_that_threat_protection_gives_it() {
    use Device::{Desktop, Mobile, Tablet};
    for (name, class) in [
        ("Mobile Safari 18.5, iOS 18.5", Some(Mobile)),
        ("Mobile Safari UI/WKWebView, iOS 17", Some(Mobile)),
        ("Shop 3 CFNetwork, iOS 17", None),
        ("Chrome Mobile 126.0.6478, Android 14", Some(Mobile)),
        ("Chrome Mobile WebView 126, Android 10", Some(Mobile)),
        ("Chrome 126.0.6478, Android 14", None),
        ("Chrome 126.0.0, Windows 10", Some(Desktop)),
        ("Edge Mobile 15, Windows Phone 10.0", Some(Mobile)),
        ("Safari 17.4, Mac OS X 10.15.7", Some(Desktop)),
        ("Firefox 127, Ubuntu", Some(Desktop)),
        ("Chrome 126, Chrome OS 15886", Some(Desktop)),
        ("Safari 18, iPadOS 18", Some(Tablet)),
        ("Chrome 126, Windowsill 1", None),
        ("Other, Windows 10", Some(Desktop)),
        ("Mobile Safari 18, Windows 10", None),
        ("Other, Other", None),
        ("Other, Linux", None),
        ("Chrome 126", None),
        (",", None),
        ("", None),
    ] {
        assert_eq!(Device::of_name(name), class, "{name}");
    }
}
