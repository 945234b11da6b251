"""What the synthetic speakers say: short English sentences, written for this project, of neutral content.

Written out, chosen for rare sounds, or made by a small grammar of one to three clauses, so that there are some for every length from one to
six seconds. Like the Harvard sentences they say nothing that belongs to one emotion: a voice carries it and the words do not.
"""

_WRITTEN = """
The boy took the oil to the garage. We measure the treasure twice. Both brothers bathe in the river. Choose a cheap blue chair.
George judged the orange jam. Three thin threads hold the cloth. They gather there on Thursday. The usual vision was a mirage.
She sells fresh fish by the shore. Look at the wooden hook. A young yak chewed the yellow straw. The poor tourist was sure.
Here we hear the engineer. Where does the pear tree grow? The fire went out an hour ago. Every player enjoys the joy of noise.
The king brings a long string. Thank the bank clerk for the ink. Our house is down the road. How now does the brown cow bow?
Put the full bush by the pool. Move the smooth spoon. I might try the white tie. The nurse heard the early bird.
Paul saw a small ball fall. My father parks the car in the yard. Cut the stuff up for lunch. Pat had a black cap.
Ten men met the red hen. Sit still in the big ship. Keep these three green leaves. Stop the clock at the top.
Go home alone by boat. The weight of the train may change. Very few leave over five. Zebras graze in the breeze.
What would William want? Robert rarely wrote. Little lambs like the light. Mama made more room.
Nobody knew the new name. Peter put up the paper. Bring back the big book. Tell Tom it is ten to two.
Did Dad find the door? Keep the cake in the kitchen. Give the girl a good gift. Half the hill is hidden.
She should wash the sheets. Watch the children reach the church. Just jump over the edge. The beige carpet gives pleasure.
Yes, use your usual yard. We will wait one week. The moth flew north. This leather feels smooth.
The fourth month has thirty days. A cool moon rose soon. The food is on the stool. Voices rose above the noise.
Point to the coin. It is near the pier. They share the square chair. Tour the moor on the way.
Hello there. Come in, please. It is half past four. I know what you mean. Tell me about it. We leave at noon.
The shop is open. Nobody told us. This is the place. You can keep it. My turn now. Open the window, please.
Come here. Look up. Turn left. Go on. Sit there. Not yet. Ask Joyce. Read it. Pass it. Bring two. Call Roy. Pull it. Push it. Fetch them.
Use both. Join us. Choose one. Try four. Pick three. Wash these. Hold this. Move back. Stand by. Start now. Check again. Over there.
Just here. This way. That one. Which one? Who is it? Whose is it? Where to? How far? What time? How many? Why not? Is it yours?
It moved. They went. She rang. He waved. We walked. You chose. I see. I heard. He knows. They voted. She drew it. We paid.
Five more. Six o'clock. Half past. Row nine. Page ten. Door two. Bus eight. Blue ones. Thin paper. Brown boots. Good chairs. Fresh figs.
A new job. An old toy. A big zoo. My watch. Your coat. Their house. Our road. His book. Her bag. It is dry. It is north. It is huge.
The toys moved. The oil is new. A choice was made. Boil the water. The coin is his. Join the line. Roy has a coin. They enjoy it.
It is in the soil. He enjoys it. The voice is low. Coins are round.. Oysters grow there. Avoid the hole. Foil it over.
The jar is full. The map is old. The bus is late. The cup is blue. The door shuts. The page is thin. The road is wide. The key fits.
Both are here. She has four. They took ten. We read this. He drew that. You may sit. It may rain. I can walk. We could go. They did see.
The path is dry. The thumb fits. The bath is hot. A vote was held. The van is here. A fox ran by. The shed is far. A chef cooks.
Casual shoes. Usual place. A mirage. Beige paint. Seize it. Yes, both. No, later. Thank you. Good evening. Near the pier. On the moor.
""".split("\n")

_PEOPLE = (
    "my neighbour|the teacher|our cousin|a young farmer|the old sailor|their doctor|the new driver|her brother|the baker"
).split("|")
_ACTS = "brought|found|kept|moved|fetched|chose|painted|measured|washed|borrowed".split("|")
_THINGS = (
    "the yellow kite|a heavy book|both blue cups|that small picture|the leather shoes|a bag of oranges|the wooden chair|"
    "some fresh bread|the garden hose|an empty jar|the paper box|three long ropes|the broken watch"
).split("|")
_WHERE = (
    "on the beach|before lunch|near the church|this morning|under the bridge|in the kitchen|by the old mill"
).split("|")
_FULL = "{who} {did} {what}|{who} {did} {what} {where}|{where}, {who} {did} {what}".split("|")
_PLAIN = _FULL[:1]
_SHORT = "{who} {did} it|we {did} {what}|they {did} it {where}".split("|")
_ALONE = [*_FULL, "{where}, we saw {what}", "did {who} see {what}"]  # a question only where no other clause follows


def _generated(n: int, clauses: int, frames: list[str]) -> list[str]:
    """``n`` sentences of ``clauses`` clauses; the lengths of the four lists have no common factor, so words meet in ever new ways."""
    out = []
    for i in range(n):
        parts = []
        for j in range(clauses):
            k = i + 41 * j + 7 * clauses + 13 * len(frames)
            lists = {"who": (_PEOPLE, 2), "did": (_ACTS, 3), "what": (_THINGS, 5), "where": (_WHERE, 3)}
            pick = {name: words[(k * step) % len(words)] for name, (words, step) in lists.items()}
            parts.append(frames[(i + j) % len(frames)].format(**pick))
        text = ", ".join(parts[:-1]) + ", and " * (clauses > 1) + parts[-1]
        out.append(text[0].upper() + text[1:] + ("?" if text.startswith("did") else "."))
    return out


def _written() -> list[str]:
    text = " ".join(_WRITTEN).strip()
    return [s.strip() for s in text.replace("? ", "?\n").replace(". ", ".\n").split("\n")]


_MADE = (
    (60, 1, _SHORT),
    (140, 1, _ALONE),
    (60, 2, _PLAIN),
    (60, 2, _FULL[1:2]),
    (100, 2, _FULL),
    (60, 3, _PLAIN),
    (120, 3, _FULL),
)
SENTENCES = tuple(dict.fromkeys(_written() + [text for kind in _MADE for text in _generated(*kind)]))
