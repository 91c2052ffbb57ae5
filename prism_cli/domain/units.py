"""Units, currencies, scales and months of several languages, as tables of their forms.

In a table each entry ends with `;`. `_` is a blank.
"""

from unicodedata import normalize

_MONTH_FORMS = """
Jan January Januar Jänner janvier enero gennaio janeiro januari ianuarie stycznia Ocak
Ιανουαρίου января январь يناير जनवरी มกราคม;
Feb February Februar février febrero febbraio fevereiro februari februarie lutego Şubat
Φεβρουαρίου февраля февраль فبراير फरवरी फ़रवरी กุมภาพันธ์;
Mar March März mars marzo março maart martie marca Mart Μαρτίου марта март مارس मार्च มีนาคม;
Apr April avril abril aprile aprilie kwietnia Nisan Απριλίου апреля апрель أبريل ابريل إبريل
अप्रैल เมษายน;
May Mai mai mayo maggio maio mei maja Mayıs Μαΐου мая май мае مايو मई พฤษภาคม;
Jun June Juni juin junio giugno junho iunie czerwca Haziran Ιουνίου июня июнь يونيو يونيه जून
มิถุนายน;
Jul July Juli juillet julio luglio julho iulie lipca Temmuz Ιουλίου июля июль يوليو يوليه
जुलाई กรกฎาคม;
Aug August août agosto augustus augusti sierpnia Ağustos Αυγούστου августа август أغسطس اغسطس
अगस्त สิงหาคม;
Sep Sept September septembre septiembre settembre setembro septembrie września Eylül
Σεπτεμβρίου сентября сентябрь سبتمبر सितंबर सितम्बर กันยายน;
Oct October Oktober octobre octubre ottobre outubro oktober octombrie października Ekim
Οκτωβρίου октября октябрь أكتوبر اكتوبر अक्टूबर अक्तूबर ตุลาคม;
Nov November novembre noviembre novembro noiembrie listopada Kasım Νοεμβρίου ноября ноябрь
نوفمبر नवंबर नवम्बर พฤศจิกายน;
Dec December Dezember décembre diciembre dicembre dezembro decembrie grudnia Aralık
Δεκεμβρίου декабря декабрь ديسمبر दिसंबर दिसम्बर ธันวาคม;
"""
# Monday to Sunday.
_DAY_FORMS = """
monday mondays montag montags lundi lunes lunedì segunda-feira maandag poniedziałek понедельник
понедельника يوم_الاثنين الإثنين सोमवार 星期一 周一 週一 礼拜一 月曜 월요일 วันจันทร์ pazartesi
thứ_hai;
tuesday tuesdays dienstag dienstags mardi martes martedì terça-feira dinsdag wtorek вторник вторника
الثلاثاء मंगलवार 星期二 周二 週二 礼拜二 火曜 화요일 วันอังคาร salı thứ_ba;
wednesday wednesdays mittwoch mittwochs mercredi miércoles mercoledì quarta-feira woensdag środa
среда среду среды الأربعاء बुधवार 星期三 周三 週三 礼拜三 水曜 수요일 วันพุธ çarşamba thứ_tư;
thursday thursdays donnerstag donnerstags jeudi jueves giovedì quinta-feira donderdag czwartek
четверг четверга الخميس गुरुवार बृहस्पतिवार 星期四 周四 週四 礼拜四 木曜 목요일 วันพฤหัสบดี perşembe
thứ_năm;
friday fridays freitag freitags vendredi viernes venerdì sexta-feira vrijdag piątek пятница пятницу
пятницы الجمعة शुक्रवार 星期五 周五 週五 礼拜五 金曜 금요일 วันศุกร์ cuma thứ_sáu;
saturday saturdays samstag samstags sonnabend samedi sábado sabato zaterdag sobota суббота субботу
субботы السبت शनिवार 星期六 周六 週六 礼拜六 土曜 토요일 วันเสาร์ cumartesi thứ_bảy;
sunday sundays sonntag sonntags dimanche domingo domenica zondag niedziela воскресенье воскресенья
يوم_الأحد रविवार इतवार 星期日 星期天 周日 週日 礼拜天 日曜 일요일 วันอาทิตย์ chủ_nhật;
"""
# The first form names the unit.
_UNIT_FORMS = """
% percent pct per_cent prozent pour_cent por_ciento por_cento per_cento procent procente
процент процента процентов τοις_εκατό بالمئة بالمائة في_المئة في_المائة प्रतिशत phần_trăm
パーセント 퍼센트 프로 เปอร์เซ็นต์;
$ usd us$ dollar dollars dólar dólares dollari dolar долларов доллара доллар δολάρια دولار
دولارا دولارًا دولارات डॉलर ดอลลาร์ đô_la 美元 美金 ドル 달러;
€ eur euro euros евро ευρώ يورو यूरो ยูโร 欧元 歐元 ユーロ 유로;
£ gbp фунтов 英镑 英鎊 ポンド 파운드;
pound pounds pfund livres libras sterline جنيه पाउंड ปอนด์;
jpy yen yenes иен ين येन เยน 日元 日圓 円 엔;
cny rmb yuan юаней يوان युआन หยวน 人民币 元 圆 圓 위안;
₹ inr rs rupee rupees rupien roupies rupias рупий روبية रुपये रुपए रुपया रूपये รูปี 卢比
ルピー 루피;
₽ rub рубль рубля рублей rubles roubles rubel рубли रूबल 卢布 ルーブル 루블;
₩ krw won 원 韩元 ウォン;
฿ thb baht บาท 泰铢;
₺ lira liras lirası ليرة;
vnd đồng;
aud a$;
cad c$;
hkd hk$ 港元;
nzd nz$;
sgd s$;
brl r$ reais;
twd nt$ 新台币;
chf francs franken franchi francos;
kronor kroner kronen kronas;
pln zł złotych;
ron lei;
dinar dinars دينار دينارا دينارًا دنانير;
riyal riyals ريال ريالا ريالًا;
dirham dirhams درهم درهما درهمًا دراهم;
peso pesos;
km kilometre kilometres kilometer kilometers kilometern kilomètre kilomètres kilómetro
kilómetros quilômetros quilómetros chilometri kilometri kilometra kilometrów километр
километра километров км χιλιόμετρα χιλιόμετρο χλμ كيلومتر كيلومترا كيلومترًا كيلومترات كم
किलोमीटर किमी กิโลเมตร กม. ki-lô-mét 公里 千米 キロメートル 킬로미터;
m metre metres meter meters metern mètre mètres metro metros metri metrów metrów метр метра
метров м μέτρα μέτρο متر مترا مترًا أمتار मीटर เมตร mét 米 公尺 メートル 미터;
キロ;
cm centimetre centimetres centimeter centimeters zentimeter zentimetern centimètre
centimètres centímetros centimetri сантиметр сантиметра сантиметров см εκατοστά سنتيمتر
سنتيمترا सेंटीमीटर सेमी เซนติเมตร ซม. 厘米 公分 センチメートル センチ 센티미터;
mm millimetre millimetres millimeter millimeters millimetern millimètre millimètres
milímetros millimetri миллиметр миллиметра миллиметров мм χιλιοστά مليمتر ملم मिलीमीटर
มิลลิเมตร มม. 毫米 公厘 ミリメートル ミリ 밀리미터;
mi mile miles meile meilen milles millas milhas miglia миль мили миля μίλια ميل ميلا أميال
मील ไมล์ dặm 英里 マイル 마일;
ft foot feet fuß pieds pies pés piedi футов фута фут πόδια قدم قدما أقدام फीट फुट ฟุต 英尺
フィート 피트;
inch inches zoll pouces pulgadas polegadas pollici дюймов дюйма بوصة इंच นิ้ว 英寸 インチ
인치;
yd yard yards;
ha hectare hectares hektar hectáreas hectares ettari гектаров гектара هكتار हेक्टेयर เฮกตาร์
公顷 公頃 ヘクタール 헥타르;
acre acres एकड़ エーカー 英亩;
km2 sq_km square_kilometres square_kilometers square_kilometre quadratkilometer
quadratkilometern kilomètres_carrés kilómetros_cuadrados quilômetros_quadrados
chilometri_quadrati квадратных_километров кв._км τετραγωνικά_χιλιόμετρα كيلومتر_مربع
वर्ग_किलोमीटर ตารางกิโลเมตร 平方公里 平方千米 平方キロメートル 제곱킬로미터;
m2 sqm sq_m square_metres square_meters square_metre quadratmeter quadratmetern mètres_carrés
metros_cuadrados metros_quadrados metri_quadrati квадратных_метров кв._м τετραγωνικά_μέτρα
متر_مربع वर्ग_मीटर ตารางเมตร 平方米 平方メートル 제곱미터;
m3 cubic_metres cubic_meters kubikmeter kubikmetern mètres_cubes metros_cúbicos metri_cubi
кубических_метров متر_مكعب घन_मीटर ลูกบาศก์เมตร 立方米 立方メートル;
square_miles sq_mi quadratmeilen millas_cuadradas 平方英里 平方マイル;
square_feet sq_ft 平方英尺;
kg kilogram kilograms kilogramm kilo kilos kilogrammes kilogramme kilogramos quilogramas
chilogrammi килограмм килограмма килограммов кг κιλά كيلوغرام كيلوغراما كيلوجرام كجم كغ
किलोग्राम किलो กิโลกรัม กก. 公斤 千克 キログラム 킬로그램;
g gram grams gramm gramme grammes gramos gramas grammi грамм грамма граммов γραμμάρια غرام
غراما جرام ग्राम กรัม 克 グラム 그램;
mg milligram milligrams milligramm milligrammes miligramos miligramas миллиграмм мг مليغرام
ملغ मिलीग्राम มิลลิกรัม 毫克 ミリグラム 밀리그램;
µg μg mcg microgram micrograms 微克;
t tonne tonnes ton tons tonnen toneladas tonnellate тонн тонны тонна т τόνοι طن طنا أطنان टन
ตัน tấn 吨 噸 トン 톤;
lb lbs 磅;
oz ounce ounces unzen onces onzas унций أونصة 盎司 オンス 온스;
l litre litres liter liters litern litros litri литр литра литров λίτρα لتر لترا लीटर ลิตร
lít 升 公升 リットル 리터;
ml millilitre millilitres milliliter milliliters mililitros миллилитров мл مليلتر मिलीलीटर
มิลลิลิตร 毫升 ミリリットル 밀리리터;
h hr hrs hour hours stunde stunden std heure heures hora horas ore godzin часов часа час ώρες
ώρα ساعة ساعات घंटे घंटा घण्टे ชั่วโมง giờ saat 小时 小時 時間 시간;
min mins minute minutes minuten minutos minuti minut минут минуты минута мин λεπτά دقيقة
دقائق मिनट นาที phút dakika 分钟 分鐘 分間 分 분;
s sec secs second seconds sekunde sekunden secondes seconde segundos segundo secondi секунд
секунды секунда δευτερόλεπτα ثانية ثوان ثواني सेकंड सेकेंड วินาที giây saniye 秒钟 秒鐘 秒間
秒 초;
ms millisecond milliseconds millisekunden 毫秒;
day days tag tage tagen jour jours día días dia dias giorni giorno dagen dagar zile dni дней
дня день ημέρες μέρες يوم يوما يومًا أيام दिन दिनों วัน ngày gün 天 日間 日 일;
week weeks woche wochen semaine semaines semana semanas settimane settimana weken veckor
недель недели неделя εβδομάδες أسبوع أسابيع أسبوعا हफ़्ते हफ्ते सप्ताह สัปดาห์ tuần hafta 周
週間 週 주일;
month months monat monate monaten mois meses mesi maanden månader luni месяц месяца месяцев
μήνες شهر شهرا شهرًا أشهر شهور महीने महीना महीनों माह เดือน tháng ay 个月 個月 ヶ月 か月 カ月 ケ月
개월;
year years jahr jahre jahren année années ans año años ano anos anni anno jaar år ani lat год
года лет году годов χρόνια έτη عام عاما عامًا سنة سنوات أعوام साल वर्ष वर्षों सालों ปี năm yıl yaş
yaşında tuổi 年間 年 岁 歳 歲 년 세 살;
decade decades jahrzehnte jahrzehnten décennies décadas десятилетий عقود दशक ทศวรรษ thập_kỷ;
century centuries jahrhundert jahrhunderte jahrhunderts siècle siècles siglo siglos século
séculos secolo secoli eeuw век века веков αιώνα αιώνες قرن قرون सदी शताब्दी ศตวรรษ thế_kỷ
yüzyıl 世纪 世紀 세기;
°c degrees_celsius degree_celsius grad_celsius degrés_celsius grados_celsius gradi_celsius
градусов_цельсия درجة_مئوية डिग्री_सेल्सियस องศาเซลเซียส 摄氏度 섭씨;
°f degrees_fahrenheit grad_fahrenheit 华氏度;
° degrees degree deg grad degrés grados graus gradi градусов градуса μοίρες درجة درجات डिग्री
องศา 度 도;
km/h kmh kph stundenkilometer kilometres_per_hour kilometers_per_hour kilomètres_à_l'heure
kilómetros_por_hora;
mph miles_per_hour;
m/s metres_per_second meters_per_second;
hz hertz;
khz;
mhz;
ghz;
kb;
mb;
gb;
tb;
w watt watts;
kw;
mw;
gw;
kwh;
v volt volts;
rpm;
dpi;
月;
時 时 点 點 시;
"""
# A power of ten, and its names.
_SCALE_FORMS = """
2 hundred 百 백;
3 thousand thousands tausend mille mil mila duizend tysięcy тысяч тысячи тысяча тыс χιλιάδες
ألف آلاف हज़ार हजार พัน nghìn ngàn bin 千 천;
4 หมื่น 万 萬 만;
5 lakh lakhs लाख แสน;
6 million millions millionen mio mln millón millones milione milioni milhão milhões miljoen
milioane milyon миллион миллиона миллионов млн εκατομμύρια مليون ملايين ล้าน triệu;
7 crore crores करोड़;
8 亿 億 억;
9 billion billions bn milliarde milliarden mrd milliard milliards miliardi miliarde bilhões
miljard milyar миллиард миллиарда миллиардов млрд δισεκατομμύρια مليار مليارات अरब tỷ tỉ;
12 trillion trillions billionen billones трлн триллион триллиона триллионов تريليون 兆 조;
"""
_CODES = """
$ USD US$;
€ EUR;
£ GBP;
jpy JPY;
cny CNY RMB;
₹ INR Rs Rs.;
₽ RUB;
₩ KRW;
฿ THB;
₺ TRY;
vnd VND;
aud AUD A$ AU$;
cad CAD C$ CA$;
hkd HKD HK$;
nzd NZD NZ$;
sgd SGD S$;
brl BRL R$;
twd TWD NT$;
chf CHF;
sek SEK;
nok NOK;
dkk DKK;
pln PLN;
ron RON;
¥;
% yüzde ร้อยละ 百分之;
"""


def _table(entries: str) -> list[list[str]]:
    return [
        [normalize("NFKC", form).replace("_", " ") for form in entry.split()]
        for entry in entries.split(";")
        if entry.strip()
    ]


MONTHS = {
    name: number
    for number, forms in enumerate(_table(_MONTH_FORMS), 1)
    for form in forms
    for name in (form, form.upper())
}
WEEKDAYS = {form: number for number, forms in enumerate(_table(_DAY_FORMS), 1) for form in forms}
BEFORE = {form: forms[0] for forms in _table(_CODES) for form in forms}
"""Currency or percent before a number, and a currency's code behind it -> unit."""
UNITS = {form.casefold(): forms[0] for forms in _table(_UNIT_FORMS) for form in forms}
"""Form of a unit, ignoring case -> unit."""
SCALES = {form.casefold(): int(forms[0]) for forms in _table(_SCALE_FORMS) for form in forms[1:]}
"""Form of a scale, ignoring case -> power of ten."""
CURRENCIES = frozenset((*BEFORE.values(), "pound", "dinar", "riyal", "dirham", "peso")) - {"%"}
EITHER = {
    "¥": ("jpy", "cny"), "pound": ("£", "lb"), "°": ("°c", "°f"),
    "キロ": ("km", "kg"), "$": ("aud", "cad", "hkd", "nzd", "sgd", "twd"),
}  # fmt: skip
"""Unit -> others that it may stand for."""
