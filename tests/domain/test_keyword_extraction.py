"""Keywords by rules: kept and removed words, skipped queries, and unsupported languages."""

import pytest

from prism_cli.domain.chat import UnusableReplyError
from prism_cli.domain.keyword_extraction import SKIP, extracted_keywords
from prism_cli.domain.keywords import RewriteTask

TASK = RewriteTask()


@pytest.mark.parametrize(
    ("query", "keywords"),
    [
        ("What were the three stages of the harbour's rebuilding?",
         "three stages harbour's rebuilding"),
        ("what's the U.S. capital", "U.S. capital"),
        ("who is president of the U.S.", "president U.S."),
        ("a mountain hut that burnt down in the mid-1980s.", "mountain hut burnt down mid-1980s"),
        ("How many people live in Paris?", "many people live Paris"),
        ("How did Bach die?", "Bach die"),
        ("Who was Kenya’s first president?", "Kenya’s first president"),
        ("what happened before 1914 and after 1918", "happened before 1914 after 1918"),
        # Names, numbers, quotations and code are kept verbatim.
        ("who founded The Hague in May of 2000?", "founded The Hague May 2000"),
        ("When was Doctor Who first shown?", "Doctor Who first shown"),
        ("what IT jobs are in the US", "IT jobs US"),
        ("sources of vitamin A", "sources vitamin A"),
        ('Who sang "Like a Virgin"?', 'sang "Like a Virgin"'),
        ("what does __init__ do in C++?", "__init__ C++"),
        ("what is f(x) in calculus?", "f(x) calculus"),
        ("How to write x = 15 in R?", "write x = 15 R"),
        # If every word is capitalized, capitals mark no name.
        ("What Is The Capital Of France?", "Capital France"),
        ("WHAT IS THE CAPITAL OF FRANCE", "CAPITAL FRANCE"),
        ("Was ist die Hauptstadt von Frankreich?", "Hauptstadt Frankreich"),
        ("Wie viele Einwohner hat Berlin?", "viele Einwohner Berlin"),
        ("Quelle est la capitale de l’Italie ?", "capitale l’Italie"),
        ("Qui a fondé L'Oréal ?", "fondé L'Oréal"),
        ("¿Cuál es la capital de Francia?", "capital Francia"),
        ("¿Cuántos habitantes tiene el Estado de México?",
         "Cuántos habitantes tiene Estado México"),
    ],
)  # fmt: skip
def test_function_words_are_removed_and_the_rest_is_kept(query: str, keywords: str) -> None:
    assert extracted_keywords(query) == keywords
    assert TASK.read(query, keywords) == {"keywords": keywords}


@pytest.mark.parametrize(
    "query",
    [
        "What animals do not sleep?",
        "pictures that don't load",
        "which cities other than Paris have a metro",
        "Why is the sky blue?",
        "What do greenhouse gases cause?",
        "What is the difference between TCP and UDP?",
        "Who is taller than Jordan?",
        "Is the earth flat?",
        "What should I eat?",
        "What happens if it rains?",
        "Is it easier or harder to change EU law?",
        "Warum ist der Himmel blau?",
        "Welche Länder haben kein Meer?",
        "Pourquoi le ciel est bleu ?",
        "Qui n'a pas de mer ?",
        "Est-ce que Paris est grand ?",
        "¿Por qué el cielo es azul?",
        "¿Qué países no tienen mar en el sur?",
        # Many conditions: more words than the limit of keywords.
        "What acquired rare chronic condition slowly damages young human lungs in winter?",
        # Already keywords.
        "capital France",
        "capital France.",
        "北京市居住证办理条件是什么？",
        "сколько стоит iPhone в Москве?",
        "Kto napisał Pana Tadeusza?",
        "???",
    ],
)
def test_queries_that_keywords_cannot_express_are_skipped(query: str) -> None:
    assert TASK.read(query, extracted_keywords(query)) == {"skip": True}


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("Quem escreveu Os Lusíadas?", "not plainly one"),
        ("Qual è la capitale d'Italia?", "not plainly one"),
        ("Wat is de hoofdstad van Nederland?", "not plainly one"),
        ("who is it?", "function words"),
    ],
)
def test_other_languages_and_empty_questions_are_refused(query: str, why: str) -> None:
    with pytest.raises(UnusableReplyError, match=why):
        extracted_keywords(query)


def test_an_empty_query_gives_no_keywords() -> None:
    assert extracted_keywords("") == extracted_keywords(" ... ") == SKIP


def test_keywords_keep_the_order_of_the_query() -> None:
    query = "Which RNLI station came last to the use of the VHF in 1964?"
    words = query.rstrip("?").split()
    place = -1
    for keyword in extracted_keywords(query).split():
        place = words.index(keyword, place + 1)
