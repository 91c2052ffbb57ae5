"""Lies and paraphrases of one sentence: each lie is a fault, no paraphrase is."""

import pytest

from prism_cli.domain.fidelity import entity_fidelity
from prism_cli.domain.grounding import GroundedDocument

# A document, and texts that change one fact of it.
LIES = [
    ("Elle ouvre le lundi.", "Elle ouvre le mardi."),
    ("Abre en abril.", "Abre en octubre."),
    ("Мост открылся 12 марта 1931 года.", "Мост открылся в мае 1931 года."),
    ("पुल 12 मार्च 1931 को खुला।", "पुल मई 1931 में खुला।"),
    ("สะพานเปิดวันที่ 12 มีนาคม 1931", "สะพานเปิดเดือนพฤษภาคม 1931"),
    ("Sie wurde am 12. März 1931 eröffnet.", "Sie wurde am 13.03.1931 eröffnet."),
    ("Sie wurde am 12.03.1931 eröffnet.", "Sie wurde am 12.04.1931 eröffnet."),
    ("يفتح يوم الاثنين.", "يفتح يوم الثلاثاء."),
    ("यह सोमवार को खुलता है।", "यह मंगलवार को खुलता है।"),
    ("这里星期一开放。", "这里星期二开放。"),
    ("月曜日に開く。", "火曜日に開く。"),
    ("월요일에 연다.", "화요일에 연다."),
    ("NASA calls it 'a sign of the age'.", "NASA calls it 'the pride of all'."),
    ("NASA calls it 'a sign of the age'.", "NASA calls it ‘the pride of all’."),
    ("Man nennt ihn ‚ein Zeichen‘.", "Man nennt ihn ‚ein Wunder der Welt‘."),
    ("Man nennt ihn »ein Zeichen«.", "Man nennt ihn »ein großes Wunder«."),
    ("On l'appelle « signe du temps ».", "On l'appelle « fierté du temps »."),
    ("On l'appelle « signe du temps ».", "On l'appelle ‹ fierté du temps ›."),
    ("人们称它为「时代的标志」。", "人们称它为『时代的骄傲』。"),
    ("人们称它为「时代的标志」。", "人们称它为“时代的骄傲”。"),
    ("He wrote the language of the start.", 'He wrote "art".'),
    ("It cost $5.", "It cost €5."),
    ("It cost $5.", "It cost 5 euros."),
    ("It cost $5.", "It cost £5."),
    ("It cost ₹5.", "It cost $5."),
    ("It cost $5 million.", "It cost €5 million."),
    ("It cost $5 million.", "It cost $5 billion."),
    ("It cost $5 million.", "It cost 5 million euros."),
    ("It cost EUR 5.", "It cost USD 5."),
    ("Es kostete 7.800 €.", "Es kostete 7.800 Dollar."),
    ("这座塔耗资7800元。", "这座塔耗资7800美元。"),
    ("Он стоил 500 рублей.", "Он стоил 500 долларов."),
    ("إنه يكلف 500 دولار.", "إنه يكلف 500 يورو."),
    ("इसकी कीमत 500 रुपये है।", "इसकी कीमत 500 डॉलर है।"),
    ("ราคา 500 บาท", "ราคา 500 ดอลลาร์"),
    ("It cost CHF 5.", "It cost $5."),
    ("It cost 5 pesos.", "It cost 5 dollars."),
    ("It was 5 °C.", "It was -5 °C."),
    ("It was -5 °C.", "It was 5 °C."),
    ("Growth was -3.5%.", "Growth was 3.5%."),
    ("Growth was 3.5%.", "Growth was −3.5%."),
    ("(-5)", "(5)"),
    ("气温5度。", "气温零下5度。"),
    ("It has seven gates.", "It has eight gates."),
    ("It has 7 gates.", "It has eight gates."),
    ("It has seven gates.", "It has 8 gates."),
    ("It has 25 gates.", "It has twenty-six gates."),
    ("Es hat sieben Tore.", "Es hat acht Tore."),
    ("Es hat 27 Tore.", "Es hat siebenunddreißig Tore."),
    ("Elle a sept portes.", "Elle a huit portes."),
    ("Elle a 95 portes.", "Elle a quatre-vingt-seize portes."),
    ("Tiene siete puertas.", "Tiene ocho puertas."),
    ("Tiene 35 puertas.", "Tiene treinta y seis puertas."),
    ("Seven million people came.", "Eight million people came."),
    ("It has four towers.", "It has three towers."),
    ("这座塔有三十层。", "这座塔有四十层。"),
    ("这座塔有30层。", "这座塔有三十一层。"),
    ("这座塔有三百万人。", "这座塔有四百万人。"),
    ("他有三个孩子。", "他有四个孩子。"),
    ("一九八四年五月三日开放。", "一九八五年五月三日开放。"),
    ("ระยะทาง 330 เมตร", "ระยะทาง 330 กิโลเมตร"),
    ("ระยะทาง 330 เมตร", "ระยะทาง 330 ปี"),
    ("อายุ 33 ปี", "อายุ 33 เดือน"),
    ("المسافة 330 كيلومتر.", "المسافة 330 ميل."),
    ("عمره 30 سنة.", "عمره 30 شهرا."),
    ("वजन 5 किलोग्राम है।", "वजन 5 ग्राम है।"),
    ("5 साल बाद।", "5 दिन बाद।"),
    ("5 лет назад.", "5 дней назад."),
    ("Vor 5 Jahren.", "Vor 5 Tagen."),
    ("Il y a 5 ans.", "Il y a 5 jours."),
    ("Hace 5 años.", "Hace 5 días."),
    ("Ύψος 330 μέτρα.", "Ύψος 330 χιλιόμετρα."),
    ("Cao 330 mét.", "Cao 330 km."),
    ("330 metre yüksek.", "330 kilometre yüksek."),
    ("5 yıl önce.", "5 gün önce."),
    ("높이는 330미터이다.", "높이는 330킬로미터이다."),
    ("高さは330メートル。", "高さは330キロメートル。"),
    ("100 km/h", "100 mph"),
    ("100 km/h", "100 m/s"),
    ("100 km/h", "100 km"),
    ("330 square metres", "330 cubic metres"),
    ("5 °C", "5 °F"),
    ("Он родился в городе Москва.", "Он родился в городе Киев."),
    ("Он жил в США.", "Он жил в НАТО."),
    ("Писал Фёдор Достоевский.", "Роман написан Львом Толстым."),
    ("Γεννήθηκε στην Αθήνα.", "Γεννήθηκε στην Σπάρτη."),
    ("Το ΝΑΤΟ ήρθε.", "Εδώ ο ΟΗΕ ήρθε."),
    ("Write to anna@example.org.", "Write to berta@example.org."),
    ("Write to anna@example.org.", "Write to anna@example.com."),
    ("Use v2.3.1 now.", "Use v2.3.2 now."),
    ("Use version 2.3.1 now.", "Use version 2.3.4 now."),
    ("Use Python 3.12.", "Use Python 3.13."),
    ("See doi:10.1000/xyz123.", "See doi:10.1000/xyz124."),
    ("See 10.1000/abc.", "See 10.1000/abd."),
    ("ISBN 978-3-16-148410-0", "ISBN 978-3-16-148410-1"),
    ("ISBN 978-3-16-148410-0", "ISBN 978-0-16-148410-3"),
    ("Call +1 (555) 123-4567.", "Call +1 (555) 123-4568."),
    ("Call +1 (555) 123-4567.", "Call +1 (555) 4567-123."),
    ("Edit /etc/hosts.conf now.", "Edit /etc/passwd now."),
    ("Edit C:\\Temp\\a.txt now.", "Edit C:\\Temp\\b.txt now."),
    ("Edit src/app/main.py now.", "Edit src/app/util.py now."),
    ("Open example.org now.", "Open example.com now."),
    ("Run setup.py.", "Run install.py."),
    ("Use MPEG-2.", "Use MPEG-4."),
    ("H2O is wet.", "CO2 is wet."),
    ("The 737 flew.", "The A320 flew."),
    ("It is 192.168.0.1.", "It is 192.168.0.2."),
    ("At 10:30 it began.", "At 10:45 it began."),
    ("The ratio is 3:2.", "The ratio is 2:3."),
    ("half of 3/4", "half of 4/3"),
    ("Tag #summer by @anna.", "Tag #winter by @anna."),
    ("Tag #summer by @anna.", "Tag #summer by @berta."),
    (
        "The government said that the population of Paris is growing.",
        "Die Regierung sagte, dass die Bevölkerung von London wächst.",
    ),
    ("Der Turm steht in München.", "Er sagt, dass der Turm in Köln steht."),
    ("Das sagte Angela Merkel.", "Gestern sagte das Helmut Kohl."),
    ("Das sagte der Kanzler Kohl.", "Gestern sagte das der Kanzler Brandt."),
    ("Der Fluss heißt Donau.", "Der Fluss heißt Weser."),
    ("A long speech.", f'She said "{"we will never give up our lands " * 8}".'),
    ("The tower is high.", f"The tower is high. {'9' * 700}"),
]
TRUE = [
    ("Elle ouvre le lundi en avril.", "It opens on Mondays in April."),
    ("这里周一开放。", "这里星期一开放。"),
    ("Мост открылся 12 мая 1931 года.", "Мост открылся в мае 1931 года."),
    ("पुल 12 मई 1931 को खुला।", "पुल मई 1931 में खुला।"),
    ("สะพานเปิดวันที่ 12 มีนาคม 1931", "สะพานเปิดเดือนมีนาคม 1931"),
    ("Sie wurde am 12. März 1931 eröffnet.", "Sie wurde am 12.03.1931 eröffnet."),
    ("Sie wurde am 5.3.1931 eröffnet.", "Sie wurde am 5. März 1931 eröffnet."),
    ("NASA calls it 'a sign of the age'.", "NASA calls it 'a sign of the age'."),
    ("NASA calls it 'a sign of the age'.", "NASA calls it ‘a sign of the age’."),
    ("Man nennt ihn ‚ein Zeichen‘.", "Man nennt ihn „ein Zeichen“."),
    ("人们称它为「时代的标志」。", "人们称它为“时代的标志”。"),
    (
        "They don't stop; the dogs' bowls aren't full in the '90s.",
        "They don't stop and the dogs' bowls aren't full in the '90s.",
    ),
    ("L'eau d'un lac, c'est l'or d'ici.", "C'est l'eau d'un lac et l'or d'ici."),
    ("It cost $5.", "It cost 5 dollars."),
    ("It cost $5.", "It cost USD 5."),
    ("It cost $5.", "It cost 5 USD."),
    ("It cost $5 million.", "It cost 5 million dollars."),
    ("It cost $5 million.", "It cost $5,000,000."),
    ("It cost $5 million.", "It cost $5m."),
    ("It cost EUR 5.", "It cost 5 €."),
    ("It cost 5 pounds.", "It cost £5."),
    ("Es kostete 7.800 €.", "Es kostete 7.800 Euro."),
    ("耗资￥7800。", "耗资7800元。"),
    ("It costs ¥7,800.", "It costs 7800 yen."),
    ("इसकी कीमत 500 रुपये है।", "इसकी कीमत ₹500 है।"),
    ("It cost US$5.", "It cost $5."),
    ("It was −5 °C.", "It was -5 °C."),
    ("It was minus 5 °C.", "It was -5 °C."),
    ("It was -5 °C.", "It was minus 5 °C."),
    ("It lasts 5-10 days.", "It lasts 5 – 10 days."),
    ("It lasts 5-10 days.", "It lasts 10 days."),
    ("COVID-19 and a 5-year plan.", "A 5-year plan for COVID-19."),
    ("pages 5–10", "pages 5 to 10"),
    ("It was +5 °C.", "It was 5 °C."),
    ("Es war minus 5 Grad.", "Es war -5 Grad."),
    ("气温零下5度。", "气温-5度。"),
    ("- 5 apples\n- 6 pears", "5 apples and 6 pears"),
    ("See 1914 -18.", "See 1914-18."),
    ("It has 7 gates.", "It has seven gates."),
    ("It has seven gates.", "It has 7 gates."),
    ("It has twenty-five gates.", "It has 25 gates."),
    ("It has three hundred and fifty gates.", "It has 350 gates."),
    ("Es hat 27 Tore.", "Es hat siebenundzwanzig Tore."),
    ("Elle a 95 portes.", "Elle a quatre-vingt-quinze portes."),
    ("Tiene 35 puertas.", "Tiene treinta y cinco puertas."),
    ("One of them has a second gate.", "A gate has one second."),
    ("Seven million people came.", "7 million people came."),
    ("这座塔有三十层。", "这座塔有30层。"),
    ("这座塔有三百万人。", "这座塔有300万人。"),
    ("这座塔有三百万人。", "这座塔有3000000人。"),
    ("他有三个孩子。", "他有3个孩子。"),
    ("一九八四年五月三日开放。", "1984年5月3日开放。"),
    ("这座塔很高。", "这座塔十分高。"),
    ("统一的四川有一些九州人。", "一些四川人。"),
    ("ระยะทาง 330 เมตร", "ระยะทาง 330 m"),
    ("高さは330メートル。", "高さは330m。"),
    ("Vor 5 Jahren.", "5 years ago."),
    ("5 degrees Celsius", "5 °C"),
    ("Он родился в Москве.", "Его город — Москва, в Москву он ездил."),
    ("Он жил в США.", "Он жил в США."),
    ("Писал Фёдор Достоевский.", "Роман написан Достоевским."),
    ("Γεννήθηκε στην Αθήνα.", "Ο δήμος της Αθήνας."),
    ("Write to anna@example.org.", "Mail anna@example.org, please."),
    ("Use version 2.3.1 now.", "Use v2.3.1 now."),
    ("See doi:10.1000/xyz123.", "See https://doi.org/10.1000/xyz123."),
    ("ISBN 978-3-16-148410-0", "ISBN 9783161484100"),
    ("Call +1 (555) 123-4567.", "Call 555-123-4567."),
    ("Edit src/app/main.py.", "The file src/app/main.py."),
    ("He and/or she km/h.", "He and/or she."),
    (
        "The government said that the population of Paris is growing.",
        "Die Regierung sagte, dass die Bevölkerung von Paris wächst.",
    ),
    ("Der Turm steht in München.", "Das Gebäude ist nach Aussage der Regierung in München."),
]
WITHOUT_CAPITALS = [
    ("वह दिल्ली में था।", "वह मुंबई में था।", "हाथी नदी किनारे पानी पीते रहते हैं।"),
    ("كان في القاهرة.", "كان في بغداد.", "الأفيال تشرب الماء قرب النهر."),
    ("他住在北京。", "他住在上海。", "大象喜欢喝河水。"),
    ("彼は東京に住んでいた。", "彼は大阪に住んでいた。", "象は川辺で水を飲む。"),
    ("그는 서울에 살았다.", "그는 부산에 살았다.", "코끼리들이 강가에서 물을 마신다."),
]


@pytest.mark.parametrize(("document", "text"), LIES)
def test_lie_is_a_fault_and_leaves_no_trace(document: str, text: str) -> None:
    grounds = GroundedDocument(document, 0, "")
    assert grounds.faults(document) == []
    assert grounds.faults(text)
    result = grounds.grounded(text, text)
    assert result.origin != "generated"
    assert grounds.faults(result.evidence) == grounds.faults(result.contribution) == []


@pytest.mark.parametrize(("document", "text"), TRUE)
def test_paraphrase_is_no_fault(document: str, text: str) -> None:
    assert GroundedDocument(document, 0, "").faults(text) == []
    assert entity_fidelity(text, document).missing == ()


@pytest.mark.parametrize(("document", "name", "other"), WITHOUT_CAPITALS)
def test_names_without_capitals_are_covered_by_the_support_of_a_sentence_alone(
    document: str, name: str, other: str
) -> None:
    grounds = GroundedDocument(document, 0, "")
    assert grounds.faults(name) == grounds.faults(other) == []
    assert grounds.grounded(None, f"{document} {other}").evidence == document
    assert grounds.grounded(None, other).origin == "extracted"


@pytest.mark.parametrize("unit", ["a", "a.", "1-", "a-", "9", "万", "+1", "a/", "'a ", "aB"])
def test_monotonous_text_takes_linear_time(unit: str) -> None:
    """A quadratic pattern would take minutes."""
    text = (unit * 100_000)[:100_000]
    assert GroundedDocument("The tower is high.", 0, "").grounded(None, text).evidence
