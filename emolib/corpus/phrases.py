"""What the synthetic speakers say: short English sentences, written for this project, of neutral content.

Half are written out, chosen for rare sounds; half come from a small grammar. Like the Harvard sentences they say nothing that belongs to
one emotion, so a voice carries it and the words do not.
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
""".split("\n")

_PEOPLE = (
    "my neighbour|the teacher|our cousin|a young farmer|the old sailor|their doctor|the new driver|her brother|the baker"
).split("|")
_ACTS = "brought|found|showed us|moved|fetched|chose|painted|measured|washed|borrowed".split("|")
_THINGS = (
    "the yellow kite|a heavy book|both blue cups|that small picture|the leather shoes|a bag of oranges|the wooden chair|"
    "some fresh bread|the garden hose|an empty jar|the paper box|three long ropes|the broken watch"
).split("|")
_WHERE = (
    "on the beach|before lunch|near the church|this morning|under the bridge|in the kitchen|by the old mill"
).split("|")
_FRAMES = (
    "{who} {did} {what}.|{who} {did} {what} {where}.|{where}, {who} {did} {what}.|did {who} see {what}?|"
    "{where}, we saw {what}."
).split("|")


def _generated(n: int) -> list[str]:
    """``n`` sentences; the lengths of the four lists have no common factor, so their words meet in ever new ways."""
    out = []
    for i in range(n):
        pick = [words[(i * step) % len(words)] for words, step in ((_PEOPLE, 2), (_ACTS, 3), (_THINGS, 5), (_WHERE, 3))]
        text = _FRAMES[i % len(_FRAMES)].format(**dict(zip(("who", "did", "what", "where"), pick)))
        out.append(text[0].upper() + text[1:])
    return out


def _written() -> list[str]:
    text = " ".join(_WRITTEN).strip()
    return [s.strip() for s in text.replace("? ", "?\n").replace(". ", ".\n").split("\n")]


SENTENCES = tuple(dict.fromkeys(_written() + _generated(140)))
